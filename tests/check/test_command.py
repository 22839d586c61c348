"""The command, and what it knows of disks."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llamakeep.check import disk
from llamakeep.cli import cli


@pytest.mark.parametrize(
    ("free", "levels"), [(10**6, ["failed"]), (500 * 10**6, ["warning"]), (10**10, [])]
)
def test_little_room_is_told_before_there_is_none(
    free: int, levels: list[str], tmp_path: Path
) -> None:
    assert [each.level for each in disk.faults_of_space(tmp_path, free)] == levels


def test_a_file_system_of_another_computer_is_known() -> None:
    mounts = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "23 22 0:40 / /mnt/a\\040b rw,relatime shared:1 - nfs4 nas:/share rw\n"
    )

    assert disk.file_system_of(Path("/mnt/a b/llamakeep"), mounts) == "nfs4"
    assert disk.file_system_of(Path("/mnt/other"), mounts) == "ext4"
    assert "nfs4" in disk.REMOTE


def test_the_command_ends_with_1_if_anything_failed_and_prints_lines_or_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLAMAKEEP_RATE_LIMITS", "1/second")

    lines = CliRunner().invoke(cli, ["check"])
    whole = CliRunner().invoke(cli, ["check", "--json"])

    assert lines.exit_code == whole.exit_code == 1
    assert "\nfailed   model" in lines.stdout
    assert lines.stdout.startswith("warning  settings")
    said = json.loads(whole.stdout)
    assert said["level"] == "failed"
    assert {"about", "level", "message", "fix"} == said["checks"][0].keys()
