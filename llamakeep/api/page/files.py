"""
The page's files, in memory.

They are read, joined, hashed and packed at the first request, so that they cost the
start nothing. A file's address has the hash of all of them: what one file imports is of
the same version as itself, and browsers keep what they have.
"""

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from html import escape
from pathlib import Path

from llamakeep.api.page.joined import PAGES, joined

FOLDER = Path(__file__).parents[2] / "page"

SHELL, DOCUMENTATION = "index.html", "docs.html"

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""By suffix; other files of the folder are not served."""

_GZIP = 31  # as `zlib` calls the format

Stamps = Mapping[Path, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent."""

    media_type: str
    packed: bytes
    """By gzip."""
    digest: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "File":
        """Return the file of that name."""
        return cls(
            media_type=MEDIA_TYPES[Path(name).suffix],
            packed=zlib.compress(content, 9, wbits=_GZIP),
            digest=sha256(content).hexdigest()[:16],
        )

    @property
    def content(self) -> bytes:
        """What is in it, for the few clients that cannot unpack it themselves."""
        return zlib.decompress(self.packed, wbits=_GZIP)


@dataclass(frozen=True, eq=False)
class Edition:
    """All files of one version, which fit each other."""

    digest: str
    """Of all of them."""
    files: Mapping[str, File]
    """By their paths in the folder."""
    pages: Mapping[str, str]
    """HTML in which `{base}` stands for the server's address."""
    stamps: Stamps
    """Of the files, when they were read."""

    def page(self, name: str, prefix: str) -> File:
        """
        Return a page with its addresses.

        Args:
            name: The path of its file in the folder.
            prefix: The path that a proxy puts before this server's paths.
        """
        return _page(self, name, prefix)


@lru_cache(maxsize=16)
def _page(edition: Edition, name: str, prefix: str) -> File:
    text = edition.pages[name].replace("{base}", escape(f"{prefix}/"))
    return File.of(name, text.encode())


def _links(page: str, base: str) -> str:
    """Return links to the modules that a page starts with: a browser asks for all."""
    whole, others = next(iter(PAGES[page].items()))
    names = (whole, *others)
    links = (f'<link rel="modulepreload" href="{base}/{name}">' for name in names)
    return "\n  ".join(links)


class Files:
    """
    The files of a folder.

    Args:
        folder: Has the files.
        reloads: Whether the folder is looked at for each request, for those who write
            the page.
    """

    def __init__(self, folder: Path = FOLDER, *, reloads: bool = False) -> None:
        self._folder = folder
        self._reloads = reloads
        self._edition: Edition | None = None

    async def edition(self) -> Edition:
        """Return the current files."""
        if self._edition is None or self._reloads:
            self._edition = await asyncio.to_thread(self._read)
        return self._edition

    def _read(self) -> Edition:
        stamps = {
            path: (stat.st_mtime_ns, stat.st_size)
            for path in sorted(self._folder.rglob("*"))
            if path.suffix in MEDIA_TYPES
            for stat in [path.stat()]
        }
        if self._edition is not None and self._edition.stamps == stamps:
            return self._edition
        texts = {
            path.relative_to(self._folder).as_posix(): path.read_text("utf-8")
            for path in stamps
        }
        files: dict[str, File] = {}
        whole = sha256()
        for name, text in joined(texts):
            files[name] = file = File.of(name, text.encode())
            whole.update(f"{name} {file.digest}\n".encode())
        digest = whole.hexdigest()[:16]
        base = f"page/{digest}"
        pages = {
            name: text.replace("{modules}", _links(name, base)).replace("{files}", base)
            for name, text in texts.items()
            if name.endswith(".html")
        }
        for name in pages:
            del files[name]
        return Edition(digest, files, pages, stamps)
