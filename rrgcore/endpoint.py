"""A language model behind a URL: asked again where it is busy, and never twice the same thing."""

import json
import os
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from email.message import Message
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar, final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    ProxyHandler,
    Request,
    build_opener,
    getproxies,
    proxy_bypass,
)

from rrgcore.errors import DataError, UserError

BUSY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""What passes: the server asks for patience, or stumbled."""
LONGEST_WAIT: Final = 60.0
QUOTED: Final = 3
"""Words in a row that a server's message has from the question, where it is a quotation."""
OF_THE_QUESTION: Final = frozenset({400, 413, 415, 422, 451})
"""What a server says of one question, not of all: it is too long, or of what is not answered."""
HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
T = TypeVar("T")
R = TypeVar("R")


def ask_each(
    ask: Callable[[T], R],
    items: Sequence[T],
    *,
    concurrency: int,
    track: Callable[[Iterable[Any], str, int], Iterator[Any]],
    title: str,
) -> list[R]:
    """Return what `ask` returns of each item, in order, so many being asked at a time.

    Where one raises, no other is begun; those under way are waited for, so that what they keep is
    kept, and the error goes on.
    """
    with ThreadPoolExecutor(concurrency, thread_name_prefix="rrg-asking") as pool:
        jobs = [pool.submit(ask, item) for item in items]
        try:
            for job in track(as_completed(jobs), title, len(jobs)):
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [job.result() for job in jobs]


@final
class Endpoint:
    """POST {url}/chat/completions, as OpenAI's API has it, and as vLLM, Ollama, llama.cpp and
    others do. Raises ValueError for what cannot be one.

    The key is read from an environment variable when a question is asked, and kept nowhere.
    """

    def __init__(
        self,
        *,
        url: str,
        model: str,
        key_variable: str | None,
        request: Mapping[str, Any] | None,
        timeout: float,
        retries: int,
        wait: float,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"`url` is '{url}'; expected one such as http://localhost:8000/v1")
        if parts.username or parts.password:
            raise ValueError(
                "`url` holds a password, which would be written down with the recipe: put it into "
                "an environment variable, and name that, `key_variable`"
            )
        if key_variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key_variable):
            raise ValueError(
                "`key_variable` is not the name of an environment variable; it names where the key "
                "is, and is never the key"
            )
        if timeout <= 0 or retries < 0 or wait < 0:
            raise ValueError("`timeout` is above 0; `retries` and `wait` are at least 0")
        if taken := {"model", "messages"} & set(request or {}):
            raise ValueError(f"`request` sets {taken.pop()}, which is said elsewhere")
        done = parts.path.rstrip("/").endswith("/chat/completions")
        path = parts.path.rstrip("/") + ("" if done else "/chat/completions")
        self.url = parts._replace(path=path).geturl()
        self.host = parts.hostname
        self.model = model
        self._key_variable = key_variable
        self._request = request or {}
        self._timeout = timeout
        self._retries = retries
        self._wait = wait
        # what stays on this machine does not go by way of a proxy that is set for the rest
        self._proxies = {} if self.is_here or proxy_bypass(self.host) else getproxies()
        self._opener = build_opener(ProxyHandler(self._proxies), _NoRedirects)
        self._met = False

    @property
    def is_here(self) -> bool:
        """Whether what is asked stays on this machine."""
        return self.host in HERE

    @property
    def where(self) -> str:
        """Who sees what is asked."""
        proxy = self._proxies.get(urlsplit(self.url).scheme)
        way = f", by way of the proxy {urlsplit(proxy).hostname}" if proxy else ""
        return f"{self.host}{way}"

    def body(self, prompt: str, pictures: Sequence[bytes] = ()) -> dict[str, Any]:
        """Return the whole request about a prompt and pictures (PNG files), if there are any; what
        `request` sets to null is left out.
        """
        content: str | list[dict[str, Any]] = prompt
        if pictures:
            shown = [f"data:image/png;base64,{b64encode(each).decode()}" for each in pictures]
            content = [
                {"type": "text", "text": prompt},
                *({"type": "image_url", "image_url": {"url": url}} for url in shown),
            ]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            **self._request,
        }
        return {name: value for name, value in body.items() if value is not None}

    def key(self, body: Mapping[str, Any]) -> str:
        """Return what tells this request from any other."""
        text = json.dumps([self.url, body], sort_keys=True, ensure_ascii=False)
        return sha256(text.encode()).hexdigest()

    def check_key(self) -> None:
        """Raise DataError where the environment does not hold the key."""
        self._headers()

    def ask(self, body: Mapping[str, Any]) -> str:
        """Return the text of the answer; raises DataError when it does not come, and Refused where
        it never will.
        """
        why = ""
        for attempt in range(self._retries + 1):
            try:
                return self._post(body)
            except _Busy as error:
                why = str(error)
                # one that restarts is worth waiting for, one never met is not
                if error.refused and not self._met:
                    raise DataError(
                        f"nobody listens at {self.url} ({why}): start the server, or mend `url`"
                    ) from error
                if attempt < self._retries:
                    pause = self._wait * 2**attempt if error.pause is None else error.pause
                    time.sleep(min(pause, LONGEST_WAIT))
        tries = "once" if self._retries == 0 else f"{self._retries + 1} times"
        raise DataError(f"{self.url} was asked {tries} and did not answer: {why}")

    def _post(self, body: Mapping[str, Any]) -> str:
        request = Request(
            self.url, data=json.dumps(body).encode(), headers=self._headers(), method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                self._met = True
                data = response.read()
        except HTTPError as error:
            self._met = True
            with error:
                said = f"HTTP {error.code}{_reason(error, body)}"
                if error.code not in BUSY:
                    why = f"{self.url} refuses: {said}"
                    if error.code in OF_THE_QUESTION:
                        raise Refused(why) from error
                    raise DataError(why) from error
                raise _Busy(said, _seconds(error.headers.get("Retry-After"))) from error
        except (URLError, TimeoutError, HTTPException, OSError) as error:
            refused = isinstance(getattr(error, "reason", error), ConnectionRefusedError)
            raise _Busy(_told(error), refused=refused) from error
        return _text(data)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "rrg"}
        if self._key_variable is not None:
            key = os.environ.get(self._key_variable, "").strip()
            if not key:
                raise DataError(
                    f"the environment variable '{self._key_variable}', which is to hold the key of "
                    f"{self.url}, is not set"
                )
            headers["Authorization"] = f"Bearer {key}"
        return headers


BEGINS: Final = b'{"asked": "'
"""How each line of a file of answers begins; one that was cut off may be shorter."""


@final
class Answers:
    """Answers on disk, by what was asked: a line each, written at once, so that whoever is stopped
    goes on. What was asked is not written, only its digest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._known: dict[str, str] | None = None

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._read()

    def __getitem__(self, key: str) -> str:
        with self._lock:
            return self._read()[key]

    def interrupted(self, study: str, error: UserError) -> DataError:
        """Return the error of a study that no answer came about, with how to go on."""
        return DataError(
            f"study '{study}': {error}\nWhat was answered so far is kept in {self.path}: do the "
            "same again to go on"
        )

    def keep(self, key: str, answer: str) -> None:
        """Write an answer down."""
        line = json.dumps({"asked": key, "answer": answer}, ensure_ascii=False) + "\n"
        with self._lock:
            self._read()[key] = answer
            # answers speak of patients: a folder that is made for them is its owner's alone
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                if file.tell() and not self._ends_whole():
                    file.write(b"\n")
                file.write(line.encode())

    def _ends_whole(self) -> bool:
        """Whether the last line was written to its end; power may fail in the middle of one."""
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _read(self) -> dict[str, str]:
        if self._known is None:
            self._known = {}
            lines = self.path.read_bytes().split(b"\n") if self.path.is_file() else []
            if any(line[: len(BEGINS)] != BEGINS[: len(line)] for line in lines):
                raise DataError(
                    f"{self.path} holds lines that are no answers, and nothing is added to such a "
                    "file: name another one for them"
                )
            for line in lines:
                try:
                    entry = json.loads(line)
                    self._known[str(entry["asked"])] = str(entry["answer"])
                except (ValueError, KeyError, TypeError):
                    continue  # one that was cut off is asked again
        return self._known


@final
class Refused(UserError):
    """A question that the server will not answer, whoever asks again."""


@final
class _Busy(Exception):
    """No answer this time; `pause` is how many seconds the server wants to be left alone, `refused`
    that nobody listens.
    """

    def __init__(self, text: str, pause: float | None = None, *, refused: bool = False) -> None:
        super().__init__(text)
        self.pause = pause
        self.refused = refused


@final
class _NoRedirects(HTTPRedirectHandler):
    """A question, and the key with it, goes nowhere but where the recipe says."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def _text(data: bytes) -> str:
    try:
        answer = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise _Busy("what came is no chat completion") from error
    if not isinstance(answer, str):
        raise _Busy(f"the answer is {type(answer).__name__}, not text")
    return answer


def _reason(error: HTTPError, body: Mapping[str, Any]) -> str:
    """Return what the server says of an error, shortly; not where it repeats the question, which
    may be of a patient.
    """
    try:
        said = " ".join(error.read(2000).decode(errors="replace").split())[:160]
    except (OSError, HTTPException):
        return ""
    asked = " ".join(json.dumps(body, ensure_ascii=False).split())
    words = said.split()
    runs = (" ".join(words[at : at + QUOTED]) for at in range(len(words) - QUOTED + 1))
    if any(run in asked for run in runs):
        return " (what it says repeats what it was asked, and is not shown)"
    return f" ({said})" if said else ""


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header is not None else None
    except ValueError:  # a date
        return None


def _told(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer within the time (`timeout`)"
    return f"{type(reason).__name__}: {reason}"
