"""The page's text in tests: a deno process makes nodes, and writes them as HTML."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.page_units.deno import ROOT, deno_command, deno_environment

SERVER = ROOT / "tests/page_units/serve_nodes.js"


class PageText:
    """What the page makes of texts."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def html(self, markdown: str) -> str:
        """Return the page's nodes of a text as HTML, with attributes by their names."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(markdown) + "\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline()))


@contextmanager
def open_page_text() -> Iterator[PageText]:
    """Start deno, and stop it in the end."""
    with subprocess.Popen(
        deno_command("run", "--no-check", str(SERVER)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=deno_environment(),
    ) as process:
        yield PageText(process)
