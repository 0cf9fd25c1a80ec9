"""The page itself, of Gradio's parts: one component with a drop zone, its script, two functions."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from tempfile import TemporaryDirectory
from typing import Any, Final

from rrgcore.demo.answering import Answers
from rrgcore.demo.guard import App, Guard
from rrgcore.demo.uploads import VIEWS
from rrgcore.errors import UserError
from rrgcore.extras import how_to_install
from rrgcore.page.render import attention_script

WAITING: Final = 4
"""Requests at a time: one that is answered, and those that wait."""
SETTINGS: Final[Mapping[str, str]] = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def check_gradio() -> None:
    """Raise UserError where Gradio is not installed; imports nothing of it."""
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        raise UserError(
            "Gradio, which serves the page, is not installed. To install it: "
            f"{how_to_install('demo')}"
        )


@contextmanager
def opened(answers: Answers, about: Mapping[str, Any], *, local: bool) -> Iterator[App]:
    """Make the application, for as long as it is served; `about` is what the page says of the run:
    its title, and sentences; `local` whether only this machine may reach it.

    Gradio is told to send nothing anywhere. Where it would keep uploads is a folder of our own, of
    which nothing comes to be and nothing stays: the page does not upload to it.
    """
    with (
        TemporaryDirectory(prefix="rrg-demo-") as folder,
        ThreadPoolExecutor(1, thread_name_prefix="rrg-demo") as worker,
    ):
        os.environ.update(SETTINGS, GRADIO_TEMP_DIR=folder)
        try:
            app = _make_app(answers, about, worker)
            yield Guard(app, largest_body=answers.limits.body, most_waiting=WAITING, local=local)
        finally:
            worker.shutdown(wait=False, cancel_futures=True)


def _make_app(answers: Answers, about: Mapping[str, Any], worker: ThreadPoolExecutor) -> App:
    import gradio
    from fastapi import FastAPI

    async def ask(answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        # in one thread: a model and a reader of DICOM files serve one at a time
        return await asyncio.get_running_loop().run_in_executor(worker, answer)

    async def write_report(payload: Any) -> dict[str, Any]:
        return await ask(lambda: answers.report(payload))

    async def show_example(payload: Any) -> dict[str, Any]:
        return await ask(answers.example)

    with gradio.Blocks(title=f"rrg demo: {about['title']}", analytics_enabled=False) as blocks:
        gradio.HTML(
            html_template=_own("page.html"),
            css_template=_own("page.css"),
            js_on_load="\n".join((attention_script(), _own("page.js"))),
            apply_default_css=False,
            server_functions=[write_report, show_example],
            about={
                **about,
                "bytes": answers.limits.bytes,
                "megabytes": answers.limits.megabytes,
                "megapixels": answers.limits.megapixels,
                "views": VIEWS,
                "examples": answers.examples is not None,
            },
        )
    fonts = ["system-ui", "sans-serif"]
    app: App = gradio.mount_gradio_app(
        FastAPI(openapi_url=None),
        blocks,
        path="/",
        theme=gradio.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
        show_error=False,
    )
    return app


def _own(name: str) -> str:
    return (files("rrgcore.demo") / "page" / name).read_text(encoding="utf-8")
