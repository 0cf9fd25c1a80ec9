"""What MkDocs needs beside the pages: GitHub's anchors, top-level pages, links out of the folder.

The pages are read in two places, on GitHub and as a site. Both must follow the same links.
"""

import posixpath
import re
from pathlib import Path
from typing import Any, Final

import typer
from pymdownx.slugs import slugify
from typer.cli import get_docs_for_click

from rrgcore.cli import make_app

TOP: Final = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages of the site that are files beside this folder."""
OPTIONS: Final = "options.md"
"""The page that typer writes of the commands, each time the site is built."""
LINK: Final = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> None:
    """Let headings have the anchors that they have on GitHub."""
    config["mdx_configs"]["toc"]["slugify"] = slugify(case="lower")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Put a top-level file in the place of the page that stands for it, and mend links."""
    here = posixpath.dirname(page.file.src_uri)
    if page.file.src_uri == OPTIONS:
        return markdown + commands()
    if page.file.src_uri in TOP:
        file = Path(config["docs_dir"]).parent / TOP[page.file.src_uri]
        return file.read_text(encoding="utf-8").replace("](docs/", "](")

    def mended(link: re.Match[str]) -> str:
        """A file outside is a link where the repository has an address, else its name."""
        text, target, anchor = link[1], posixpath.normpath(f"docs/{here}/{link[2]}"), link[3] or ""
        if target.startswith("docs/"):
            return link[0]
        for uri, name in TOP.items():
            if name == target:
                return f"[{text}]({posixpath.relpath(uri, here or '.')}{anchor})"
        if not config["repo_url"]:
            return text
        return f"[{text}]({config['repo_url'].rstrip('/')}/blob/main/{target}{anchor})"

    return LINK.sub(mended, markdown)


def commands() -> str:
    """Return every command with its arguments and options, as typer documents it."""
    group = typer.main.get_command(make_app())
    text = get_docs_for_click(obj=group, ctx=typer.Context(group), name="rrg")
    _, _, below = text.partition("\n")  # the page has a title of its own
    return below
