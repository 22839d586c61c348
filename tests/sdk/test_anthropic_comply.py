"""The suite of `llm-comply` for Anthropic's API, as its command runs it."""

import json
import subprocess
import sys

from tests.sdk.site import ALICE, ToolSite
from tests.waiting import LONG_ENOUGH

# Its test of thinking looks for such a name.
MODEL = "openai:claude-sonnet-4-5"


def test_anthropics_suite_passes_whole(tool_site: ToolSite) -> None:
    command = [sys.executable, "-m", "llm_comply.cli", "--json"]
    done = subprocess.run(
        [
            *command,
            *("--format", "anthropic", "--model", MODEL),
            *("--base-url", f"{tool_site.origin}/v1"),
            *("--api-key", ALICE, "--auth-header", "x-api-key", "--no-bearer"),
            *("--header", "anthropic-version:2023-06-01"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * LONG_ENOUGH,
    )

    found = json.loads(done.stdout)
    wrong = [one for one in found["results"] if one.keys() & {"errors", "warnings"}]
    assert wrong == []
    assert found["summary"] == {"total": 9, "passed": 9, "failed": 0, "skipped": 0}
