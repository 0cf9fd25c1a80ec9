"""A page as text: the templates filled in, everything it needs inside, nothing else allowed."""

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from rrgcore.page.lines import readable

PACKAGE = "rrgcore.page"
CODE = re.compile(r"`([^`\n]+)`")


def render(name: str, values: Mapping[str, Any]) -> str:
    """Fill in a template: every value is escaped, and the browser is told to run the page's own
    script alone and to fetch nothing.
    """
    environment = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: readable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["spelt"] = _spelt
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.3f}"
    style, script = _own("page.css"), "\n".join((attention_script(), _own("page.js")))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    text = environment.get_template(name).render(
        values, style=Markup(style), script=Markup(script), policy=policy
    )
    # halves of surrogate pairs, which JSON can spell and no file can hold
    return text.encode(errors="backslashreplace").decode()


def attention_script() -> str:
    """Return the script that paints attention over images; the demo runs it too."""
    return _own("attention.js")


def _own(name: str) -> str:
    return (files(PACKAGE) / "templates" / name).read_text(encoding="utf-8")


def _spelt(text: str) -> Markup:
    """Show as code what stands between backticks; everything is escaped."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(readable(text)))))


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
