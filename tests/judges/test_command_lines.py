"""OpenAI's Codex and Anthropic's Claude Code, which run commands for the model."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.judges.judge import broken_off, environment, interrupted_since
from tests.node import node_with_packages
from tests.sdk.clients import history
from tests.sdk.site import ToolSite
from tests.waiting import LONG_ENOUGH

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "docs" / "clients"
OURS = "http://127.0.0.1:8000"
PROMPT = "What does it say?"
# Codex is half a gigabyte, and Claude Code half of that.
pytestmark = pytest.mark.timeout(780)

Command = tuple[Sequence[str], Mapping[str, str]]
"""What to run, with which variables."""


def codex(site: ToolSite, folder: Path) -> Command:
    """Return Codex, with the settings of its page."""
    node = node_with_packages(HERE / "js_codex", within=600)
    [settings] = re.findall(
        r"```toml\n(.*?)```", (PAGES / "codex.md").read_text(), re.DOTALL
    )
    assert OURS in settings
    (folder / "config.toml").write_text(settings.replace(OURS, site.origin))
    program = HERE / "js_codex" / "node_modules" / "@openai" / "codex" / "bin"
    asked = ["exec", "--skip-git-repo-check", PROMPT]
    return [node, str(program / "codex.js"), *asked], {"CODEX_HOME": str(folder)}


def claude_code(site: ToolSite, _: Path) -> Command:
    """Return Claude Code, with the variables of its page."""
    node = node_with_packages(HERE / "js_claude_code", within=600)
    page = (PAGES / "claude-code.md").read_text()
    variables = dict(re.findall(r"^export (\w+)=(\S+)$", page, re.MULTILINE))
    assert variables["ANTHROPIC_BASE_URL"] == OURS
    package = HERE / "js_claude_code" / "node_modules" / "@anthropic-ai" / "claude-code"
    asked = ["-p", PROMPT, "--allowedTools", "Bash"]
    return (
        [node, str(package / "cli-wrapper.cjs"), *asked],
        variables | {"ANTHROPIC_BASE_URL": site.origin},
    )


@pytest.fixture(params=[codex, claude_code], ids=lambda command: command.__name__)
def start(
    request: pytest.FixtureRequest,
    python: Callable[[str], str],  # noqa: ARG001 - skips without the judges
    judged_site: ToolSite,
    tmp_path: Path,
) -> Callable[[], "subprocess.Popen[str]"]:
    """Return what starts a command line."""
    command, variables = request.param(judged_site, tmp_path)

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            start_new_session=True,
            cwd=tmp_path,
            env=environment(judged_site, tmp_path)
            | {"NO_PROXY": "127.0.0.1", **variables},
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
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors + said
    assert said.startswith("It is ")
    assert "42 degrees" in said


def test_the_commands_that_the_model_calls_are_run(
    start: Callable[[], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("42 degrees\n")

    with ended_well(start()):
        pass


def test_it_continues_after_the_server_was_killed_while_its_command_ran(
    start: Callable[[], "subprocess.Popen[str]"],
    judged_site: ToolSite,
    tmp_path: Path,
) -> None:
    [newest, *_] = [*history(judged_site), {"id": ""}]

    with ended_well(start()):
        wait_for_answer(newest["id"], judged_site)
        judged_site.restart()
        (tmp_path / "note.txt").write_text("42 degrees\n")


def wait_for_answer(newest: str, site: ToolSite) -> None:
    """Wait until a run after another one has ended: commands may begin before that."""
    end = time.monotonic() + LONG_ENOUGH
    while not any(
        run["id"] > newest and run["status"] == "succeeded" for run in history(site)
    ):
        assert time.monotonic() < end, "The model has called no command."
        time.sleep(0.1)


def test_it_asks_again_after_the_server_was_killed_in_arguments(
    start: Callable[[], "subprocess.Popen[str]"],
    judged_site: ToolSite,
    tmp_path: Path,
) -> None:
    (tmp_path / "note.txt").write_text("42 degrees\n")
    [newest, *_] = [*history(judged_site), {"id": ""}]

    with broken_off(judged_site, judged_site.wait_for_arguments):
        process = start()
    with ended_well(process):
        pass

    cut = interrupted_since(newest["id"], judged_site)
    if cut["store"]:  # Codex wants what came to be erased
        assert cut["output"][-1]["text"] == '{"com'
