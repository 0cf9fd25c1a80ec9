"""The site: MkDocs builds it without a warning, and it needs nothing from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rrgcore.cli import COMMANDS

from .pages import DOCS, PAGES, REPOSITORY, fences, prose, read, tables

PLACES = {
    **{page.relative_to(DOCS).as_posix(): page for page in PAGES if DOCS in page.parents},
    "changelog.md": REPOSITORY / "CHANGELOG.md",
    "contributing.md": REPOSITORY / "CONTRIBUTING.md",
}
"""Pages of the site, and the file that each is read from."""
FETCHED = {
    *(("script", "src"), ("img", "src"), ("img", "srcset"), ("source", "src"), ("iframe", "src")),
    *(("source", "srcset"), ("video", "src"), ("audio", "src"), ("embed", "src"), ("link", "href")),
    *(("object", "data"), ("use", "href"), ("image", "href")),
}
"""What a browser fetches without being asked to."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a dead link or anchor, or a page that is in no menu, fails."""
    folder = tmp_path_factory.mktemp("site") / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Page(HTMLParser):
    """What a page fetches, what it runs, and what stands on it outside of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.styles: list[str] = []
        self.counts: dict[str, int] = {}
        self.text: list[str] = []
        self.links: list[str] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attrs:
            if (tag, name) in FETCHED and value:
                self.fetched.append(value)
            if name == "style" and value:
                self.styles.append(value)
        if tag == "a":
            self.links.append("")
        if tag in ("a", "pre", "code", "script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if "style" in self._inside:
            self.styles.append(data)
        elif not {"pre", "code", "script"} & set(self._inside):
            self.text.append(data)
        if "a" in self._inside:
            self.links[-1] += data


def page_of(site: Path, place: str) -> Page:
    where = re.sub(r"(?:^|(?<=/))index\.md$", "", place).removesuffix(".md")
    text = (site / where / "index.html").read_text(encoding="utf-8")
    return Page(text)


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    found = list(site.rglob("*.html"))
    assert len(found) > len(PLACES)  # and 404.html
    for file in found:
        page = Page(file.read_text(encoding="utf-8"))
        assert [at for at in page.fetched if re.match(r"(?:[a-z]+:)?//", at)] == [], file
        assert not re.findall(r"@import|url\(\s*['\"]?(?:https?:)?//", "".join(page.styles)), file
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.findall(r"@import|url\(\s*['\"]?(?:https?:)?//", text), sheet


def test_no_page_has_what_the_theme_would_fetch_a_library_for(site: Path) -> None:
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert 'class="mermaid"' not in text, file
        assert 'class="arithmatex"' not in text, file


@pytest.mark.parametrize("place", [place for place in PLACES if place != "options.md"])
def test_a_page_is_shown_as_it_was_meant(place: str, site: Path) -> None:
    source, page = PLACES[place], page_of(site, place)
    indented = re.findall(r"\n\n {4}\S", prose(source))
    blocks = len(list(fences(source))) + len(indented)
    assert page.counts.get("pre", 0) == blocks, "a block is no block"
    assert page.counts.get("table", 0) == len(list(tables(prose(source)))), "a table is no table"
    text = "".join(page.text)
    assert not re.findall(r"```|^\s*\|.*\||\]\([^)\s]+\)|\*\*\S", text, re.M), "Markdown is left"
    for words, target in re.findall(r"(?<!!)\[([^\]!][^\]]*)\]\(([^)#\s]*)", prose(source)):
        elsewhere = re.match(r"[a-z]+:", target)
        if elsewhere or (source.parent / target).resolve().is_relative_to(DOCS):
            assert re.sub(r"[`*\\]", "", words) in page.links, f"'{words}' is no link"
    for item in re.findall(r"^(?:[-*]|\d+\.) (.*)$", prose(source), re.M):
        words = re.match(r"[\w ,']{0,30}", re.sub(r"[*`]|\[|\]\(.*?\)", "", item))
        assert words
        assert f"- {words[0]}" not in text or len(words[0]) < 6, f"'{item}' is no item of a list"


def test_what_can_be_searched_is_here(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    assert "Footguns" in index
    assert "masking" in index


def test_the_changelog_and_the_rules_for_contributions_are_pages(site: Path) -> None:
    for place in ("changelog", "contributing"):
        written = read(PLACES[f"{place}.md"])
        title = re.findall(r"^## (.*)$", written, re.M)[0]
        assert title in "".join(page_of(site, f"{place}.md").text)


def test_every_command_is_on_the_page_that_typer_writes(site: Path) -> None:
    html = (site / "options" / "index.html").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"<code>rrg {name}</code>" in html
    assert "--protocol" in html
