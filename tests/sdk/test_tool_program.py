"""The programs of `docs/openai.md`, as a reader would run them."""

import sys
from pathlib import Path

from tests.images import JPEG
from tests.sdk.programs import output_of, programs_of
from tests.sdk.site import ToolSite


def run(word: str, site: ToolSite, folder: Path) -> str:
    """Run the program of the page that has a word, and return what it printed."""
    [program] = [
        text
        for language, text in programs_of("openai")
        if language == "python" and word in text
    ]
    file = folder / "program.py"
    file.write_text(program.replace("http://localhost:8000", site.origin))
    return output_of(sys.executable, str(file), folder=folder)


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
