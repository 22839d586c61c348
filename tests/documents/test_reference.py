"""The reference is written by the program, so it cannot be wrong, only stale."""

import subprocess
import sys
from pathlib import Path

import pytest

from llamakeep import errors
from llamakeep.settings import Settings

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.slow
def test_the_reference_is_what_the_program_would_write() -> None:
    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "write_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


@pytest.mark.parametrize("error", list(dict.fromkeys(errors.walk())))
def test_every_error_is_explained(error: type[errors.LlamaKeepError]) -> None:
    page = (REFERENCE / "problems.md").read_text(encoding="utf-8")

    assert f"`urn:llamakeep:problem:{error.code}` | {int(error.status)} |" in page


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_explained(name: str) -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    _, _, section = page.partition(f"\n## `LLAMAKEEP_{name.upper()}`\n\n")

    explanation, _, _ = section.partition("\n\nDefault: ")
    assert len(explanation.split()) > 3
