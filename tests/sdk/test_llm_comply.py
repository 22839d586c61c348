"""The suites of `llm-comply` for OpenAI's two APIs, as its command runs them."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.sdk.site import ALICE, ToolSite
from tests.waiting import LONG_ENOUGH

MODEL = "openai:gpt-5-mini"
"""Its tests of reasoning look for such a name."""


def results(site: ToolSite, name: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "llm_comply.cli", "--json"),
            *("--format", name, "--model", MODEL),
            *("--base-url", f"{site.origin}/v1", "--api-key", ALICE),
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
    found = results(strict_site, name)
    failed = [one for one in found["results"] if one["status"] != "passed"]

    assert not failed, json.dumps(failed, indent=1)
    assert found["summary"] == {
        "total": total,
        "passed": total,
        "failed": 0,
        "skipped": 0,
    }
