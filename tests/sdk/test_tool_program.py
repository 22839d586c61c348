"""The programs of `docs/openai.md`, as a reader would run them."""

import re
import subprocess
import sys
from pathlib import Path

from tests.images import JPEG
from tests.sdk.site import ToolSite
from tests.waiting import LONG_ENOUGH

PAGE = Path(__file__).parents[2] / "docs" / "openai.md"
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(word: str, site: ToolSite, folder: Path) -> str:
    """Run the program of the page that has a word, and return what it printed."""
    [program] = [one for one in PROGRAM.findall(PAGE.read_text()) if word in one]
    file = folder / "program.py"
    file.write_text(program.replace("http://localhost:8000", site.origin))
    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * LONG_ENOUGH,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_program_of_the_page_calls_its_function(
    tool_site: ToolSite, tmp_path: Path
) -> None:
    assert run("tools=", tool_site, tmp_path) == "It is -3 and 7.\n"
    assert len(tool_site.upstream.asked) == 2


def test_the_program_of_the_page_shows_an_image(
    tool_site: ToolSite, tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").write_bytes(JPEG)

    assert run("image_url", tool_site, tmp_path) == "I see 1.\n"
