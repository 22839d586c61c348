"""OpenAI's Codex, which runs commands for the model."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.judges.judge import broken_off, environment, interrupted_since
from tests.node import node_with_packages
from tests.sdk.clients import history
from tests.sdk.site import ToolSite
from tests.waiting import LONG_ENOUGH

HERE = Path(__file__).parent / "js_codex"
PAGE = HERE.parents[2] / "docs" / "clients" / "codex.md"
OURS = "http://127.0.0.1:8000"
# It is half a gigabyte.
pytestmark = pytest.mark.timeout(780)


@pytest.fixture
def codex(
    python: Callable[[str], str],  # noqa: ARG001 - skips without the judges
    judged_site: ToolSite,
    tmp_path: Path,
) -> Callable[[], "subprocess.Popen[str]"]:
    """Return what starts it with the settings of its page."""
    node = node_with_packages(HERE, within=600)
    [settings] = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert OURS in settings
    (tmp_path / "config.toml").write_text(settings.replace(OURS, judged_site.origin))
    program = HERE / "node_modules" / "@openai" / "codex" / "bin" / "codex.js"
    asked = ["exec", "--skip-git-repo-check", "What does it say?"]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [node, str(program), *asked],
            cwd=tmp_path,
            env=environment(judged_site, tmp_path)
            | {"CODEX_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@contextmanager
def ended_well(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Check that it says what the note says, whatever is done meanwhile."""
    with process:
        try:
            yield
            said, errors = process.communicate(timeout=2 * LONG_ENOUGH)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert said.startswith("It is ")
    assert "42 degrees" in said


def test_codex_runs_the_commands_that_the_model_calls(
    codex: Callable[[], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("42 degrees\n")

    with ended_well(codex()):
        pass


def test_codex_continues_after_the_server_was_killed_while_its_command_ran(
    codex: Callable[[], "subprocess.Popen[str]"],
    judged_site: ToolSite,
    tmp_path: Path,
) -> None:
    # The command waits for a writer.
    os.mkfifo(tmp_path / "note.txt")

    with ended_well(codex()), (tmp_path / "note.txt").open("w") as note:
        judged_site.restart()
        note.write("42 degrees\n")


def test_codex_asks_again_after_the_server_was_killed_in_arguments(
    codex: Callable[[], "subprocess.Popen[str]"],
    judged_site: ToolSite,
    tmp_path: Path,
) -> None:
    (tmp_path / "note.txt").write_text("42 degrees\n")
    [newest, *_] = [*history(judged_site), {"id": ""}]

    with broken_off(judged_site, judged_site.wait_for_arguments):
        process = codex()
    with ended_well(process):
        pass

    cut = interrupted_since(newest["id"], judged_site)
    assert cut["store"] is False  # as Codex wants it, so what came is erased
