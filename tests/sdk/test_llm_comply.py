"""The suites of `llm-comply` for OpenAI's two APIs and Anthropic's, by its command."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.sdk.site import ALICE, ToolSite
from tests.waiting import LONG_ENOUGH

# Its tests of reasoning look for such names.
GPT, CLAUDE = "openai:gpt-5-mini", "openai:claude-sonnet-4-5"
BY_KEY = ["--auth-header", "x-api-key", "--no-bearer"]
VERSION = ["--header", "anthropic-version:2023-06-01"]


def results(site: ToolSite, name: str, model: str, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "llm_comply.cli", "--json"),
            *("--format", name, "--model", model),
            *("--base-url", f"{site.origin}/v1", "--api-key", ALICE),
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * LONG_ENOUGH,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("name", "total"), [("openai-chat", 9), ("open-responses", 13)]
)
def test_all_that_a_specification_asks_for_is_there(
    strict_site: ToolSite, name: str, total: int
) -> None:
    found = results(strict_site, name, GPT)
    failed = [one for one in found["results"] if one["status"] != "passed"]

    assert not failed, json.dumps(failed, indent=1)
    assert found["summary"] == {
        "total": total,
        "passed": total,
        "failed": 0,
        "skipped": 0,
    }


def test_anthropics_suite_passes_whole(tool_site: ToolSite) -> None:
    found = results(tool_site, "anthropic", CLAUDE, *BY_KEY, *VERSION)

    wrong = [one for one in found["results"] if one.keys() & {"errors", "warnings"}]
    assert wrong == []
    assert found["summary"] == {"total": 9, "passed": 9, "failed": 0, "skipped": 0}
