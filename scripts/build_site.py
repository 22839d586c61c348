"""
Build the documentation as a site, and check that it is whole.

It needs nothing from elsewhere, and a page has what it has in the repository's viewer.

    python scripts/build_site.py ZENSICAL

ZENSICAL is the program of that name; `zensical.toml` has its settings. Pages keep their
places in the repository, and the files that they link to come along, so that a link
leads to the same file here and in the repository.
"""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from check_docs import LINK, all_pages
from markdown_it import MarkdownIt

PAGES, SITE = Path("build/pages"), Path("build/site")
MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})
ASSETS = [Path("docs/assets"), Path("docs/images")]
LOADED = {"script", "link", "img", "source", "iframe"}
"""Elements that browsers load by themselves, unlike links."""
COUNTED = {"h2": "heading", "li": "list item", "pre": "code block", "tr": "row"}
"""Elements of which a page has as many here as there, if both understand it alike."""


def main(zensical: str) -> int:
    """Return 1 when a link is dead, or something would be loaded from another host."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    pages = all_pages()
    copy(pages, PAGES)
    done = subprocess.run([zensical, "build", "--clean", "--strict"], check=False)
    if done.returncode:
        return 1
    copy({*shown_files(pages)}.difference(pages), SITE)
    written = sorted(SITE.rglob("*.html"))
    faults = [fault for page in written for fault in faults_of(page)]
    faults += [fault for page in pages for fault in differences_of(page)]
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{len(written)} pages in {SITE}/index.html: {len(faults)} faults.")
    return int(bool(faults) or not written)


def shown_files(pages: list[Path]) -> Iterator[Path]:
    """Yield the files that pages load or link to."""
    root = Path.cwd()
    for folder in ASSETS:
        yield from (each for each in folder.rglob("*") if each.is_file())
    for page in pages:
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            linked = (root / page.parent / target).resolve()
            if "://" not in target and linked.is_file():
                yield linked.relative_to(root)


def copy(files: Iterable[Path], folder: Path) -> None:
    """Copy files into a folder, in their places."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / file)


def faults_of(page: Path) -> Iterator[str]:
    """Yield what is wrong with the addresses in a page."""
    for element, address in Elements.of(page.read_text()).addresses:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            if element in LOADED:
                yield f"{page}: <{element}> would be loaded from {address}"
        elif parts.path:
            folder = SITE if parts.path.startswith("/") else page.parent
            if not (folder / unquote(parts.path).lstrip("/")).is_file():
                yield f"{page}: there is no {parts.path}"


def differences_of(page: Path) -> Iterator[str]:
    """Yield what a page has here, and not in the repository's viewer, or vice versa."""
    name = "index" if page.stem == "README" else page.stem
    _, _, article = (
        (SITE / page.parent / f"{name}.html").read_text().partition("<article")
    )
    here = Elements.of(article.partition("</article>")[0]).count
    there = Elements.of(MARKDOWN.render(page.read_text(encoding="utf-8"))).count
    for element, meaning in COUNTED.items():
        if here[element] != there[element]:
            yield (
                f"{page}: not each reader of Markdown sees the same {meaning}s; indent "
                "what belongs to a list item by four spaces, with a line before it"
            )


class Elements(HTMLParser):
    """Counts the elements of a page, and collects what they link to or load."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.addresses: list[tuple[str, str]] = []

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the elements of an HTML text."""
        parser = cls()
        parser.feed(text)
        return parser

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.count[tag] += 1
        for name, value in attrs:
            if name in {"href", "src", "srcset"} and value:
                self.addresses.append((tag, value))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
