"""OpenAI's agents for JavaScript, and its Codex, which runs commands for the model."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.judges.judge import environment
from tests.judges.model import ANSWER
from tests.node import node_with_packages
from tests.sdk.site import ToolSite
from tests.waiting import LONG_ENOUGH

HERE = Path(__file__).parent
AGENTS, CODEX = HERE / "js_agents", HERE / "js_codex"
PAGE = HERE.parents[1] / "docs" / "clients" / "codex.md"
OURS = "http://127.0.0.1:8000"


def test_agents_in_javascript_call_tools_hand_over_and_fill_in_forms(
    judged_site: ToolSite, tmp_path: Path
) -> None:
    node = node_with_packages(AGENTS)

    done = subprocess.run(
        [node, "agents.mjs"],
        cwd=AGENTS,
        env=environment(judged_site, tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * LONG_ENOUGH,
    )

    assert done.returncode == 0, done.stderr
    with_each_api = [ANSWER, ANSWER, f"Weather {ANSWER}", "Ada 36"]
    assert done.stdout.splitlines() == with_each_api * 2


@pytest.mark.timeout(780)
def test_codex_runs_the_commands_that_the_model_calls(
    judged_site: ToolSite, tmp_path: Path
) -> None:
    # It is half a gigabyte.
    node = node_with_packages(CODEX, within=600)
    [settings] = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert OURS in settings
    (tmp_path / "config.toml").write_text(settings.replace(OURS, judged_site.origin))
    (tmp_path / "note.txt").write_text("42 degrees\n")
    program = CODEX / "node_modules" / "@openai" / "codex" / "bin" / "codex.js"

    done = subprocess.run(
        [node, str(program), "exec", "--skip-git-repo-check", "What does it say?"],
        cwd=tmp_path,
        env=environment(judged_site, tmp_path)
        | {"CODEX_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * LONG_ENOUGH,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("It is ")
    assert "42 degrees" in done.stdout
