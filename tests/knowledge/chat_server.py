"""A server of chat completions on this machine, that answers as a test tells it to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rrg_knowledge.observe_endpoint import ObserveByEndpoint
from rrgcore.chest import OBSERVATIONS
from rrgcore.testing import make_studies


@dataclass
class Reply:
    """What the server does with one request."""

    text: str = ""
    """The answer of the model."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """The whole body, in place of a chat completion."""
    after: float = 0.0
    """Seconds."""
    hangs_up: bool = False


@dataclass
class Server:
    """A running server."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Path, headers and body of each request, in the order in which they came."""

    @property
    def prompts(self) -> list[str]:
        return [request["body"]["messages"][0]["content"] for request in self.requests]


@contextmanager
def serve(reply: Callable[[int, str], Reply]) -> Iterator[Server]:
    """Run a server; `reply` is told how many requests came before, and the prompt."""
    server = Server()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(server.requests)
                server.requests.append(
                    {"path": self.path, "headers": dict(self.headers), "body": body}
                )
            answer = reply(number, body["messages"][0]["content"])
            time.sleep(answer.after)
            if answer.hangs_up:
                self.connection.close()
                return
            data = answer.raw
            if data is None:
                message = {"role": "assistant", "content": answer.text}
                data = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
            try:
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(data)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                return  # who asked waits no longer

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of those who left."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def write_answers(folder: Path) -> dict[str, Any]:
    """Write the answers about the sample studies, and return the options of who need not ask."""
    options = {
        "url": "http://localhost:9/v1",
        "model": "a-model",
        "cache": str(folder / "answers.jsonl"),
    }
    annotator = ObserveByEndpoint(**options)
    for study in make_studies():
        body = annotator.endpoint.body(annotator.questions.prompt(study))
        said = dict.fromkeys(OBSERVATIONS, "Absent")
        annotator.answers.keep(annotator.endpoint.key(body), json.dumps(said))
    return options
