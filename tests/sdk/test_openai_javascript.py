"""OpenAI's own client for JavaScript, unchanged; the scenarios are in `js_openai`."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.node import node_with_packages
from tests.sdk.site import Site

FOLDER = Path(__file__).parent / "js_openai"
FILES = ["chat", "errors", "models", "responses", "background"]
SCENARIO = re.compile(r'^scenario\(\s*"(.+?)"', re.MULTILINE)
SCENARIOS = [
    name
    for file in FILES
    for name in SCENARIO.findall((FOLDER / f"{file}.mjs").read_text())
]


@pytest.fixture(scope="module")
def node(one_site: Site) -> Iterator[subprocess.Popen[str]]:
    """One process for all tests: Node takes longer to start than they take."""
    files = [f"./{file}.mjs" for file in FILES]
    origins = [one_site.origin, one_site.replicate.origin]
    with subprocess.Popen(
        [node_with_packages(FOLDER), "run.mjs", *origins, *files],
        cwd=FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("name", SCENARIOS)
def test_openai_for_javascript(
    site: Site, node: subprocess.Popen[str], name: str
) -> None:
    said = say(node, name)
    while "wanted" in said:
        assert said["wanted"] == "restart"
        site.restart()
        said = say(node, "")

    assert said == {"passed": True}, said["failed"]


def say(node: subprocess.Popen[str], line: str) -> Any:
    """Send a line, and return what comes back."""
    assert node.stdin is not None
    assert node.stdout is not None
    node.stdin.write(line + "\n")
    node.stdin.flush()
    return json.loads(node.stdout.readline())
