"""The units of `deploy/systemd`, as systemd's own tool sees them, and what they do."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llamakeep.check.settings import read_settings
from tests.acceptance.proxies import ROOT
from tests.debian import debian_program

UNITS = sorted(ROOT.glob("deploy/systemd/*.*"))
PROGRAM = "/opt/llamakeep/bin/llamakeep"
MOST_EXPOSED = 2.5
RAW = re.MULTILINE | re.DOTALL


def test_the_units_are_right_and_expose_little(tmp_path: Path) -> None:
    analyze = debian_program("systemd-analyze", package="systemd")
    for unit in UNITS:
        (tmp_path / unit.name).write_text(
            unit.read_text().replace(PROGRAM, "/bin/true")
        )
    units = [str(tmp_path / unit.name) for unit in UNITS]
    services = [unit for unit in units if unit.endswith(".service")]

    verified = run(analyze, "verify", *units)
    exposed = run(analyze, "security", "--offline=yes", "--no-pager", *services)

    assert (verified.returncode, verified.stderr) == (0, "")
    levels = re.findall(r"exposure level for \S+: ([\d.]+)", exposed.stdout)
    assert len(levels) == len(services) == 2
    assert max(map(float, levels)) <= MOST_EXPOSED


def test_a_start_may_take_as_long_as_the_backup_that_comes_before_a_migration() -> None:
    folder = ROOT / "deploy" / "systemd"
    units = [folder / f"{each}.service" for each in ("llamakeep", "llamakeep-backup")]

    limits = [
        re.findall(r"^TimeoutStartSec=.+", unit.read_text(), re.MULTILINE)
        for unit in units
    ]

    assert limits == [["TimeoutStartSec=6h"]] * 2


def test_the_nightly_backup_is_one_of_seven_and_is_verified(
    tmp_path: Path,
) -> None:
    unit = (ROOT / "deploy" / "systemd" / "llamakeep-backup.service").read_text()
    unit = unit.replace("$$", "$").replace("%%", "%")
    unit = unit.replace(PROGRAM, f"{sys.executable} -m llamakeep")
    commands = [
        shlex.split(line) for line in re.findall(r"^ExecStart=(.+)", unit, re.MULTILINE)
    ]
    variables = {
        "BACKUPS": str(tmp_path),
        "LLAMAKEEP_DATABASE_URL": f"sqlite:///{tmp_path}/llamakeep.db",
        "PYTHONPATH": str(ROOT),
    }
    run(sys.executable, "-m", "llamakeep", "migrate", **variables)

    said = [run(*command, **variables) for command in commands]

    assert [each.returncode for each in said] == [0, 0], said
    assert ["is whole" in each.stdout for each in said] == [True, True]
    [kept] = tmp_path.glob("*.backup")
    assert re.fullmatch(r"llamakeep-[1-7]\.backup", kept.name)


def test_the_settings_of_the_guide_reach_a_command_and_fit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "docs" / "deploy" / "README.md").read_text()
    [settings] = re.findall(r"llamakeep\.env <<END\n(.+?)^END$", guide, RAW)
    written = settings.replace("$HOST", "llm.example.com")
    told = variables_of_a_command(written, tmp_path)

    names = re.findall(r"^\w+(?==)", written, re.MULTILINE)
    assert len(names) > 5
    for name in names:
        monkeypatch.setenv(name, told[name])
    assert [each.level for each in read_settings()[2]] == ["ok"]


def test_settings_without_quotes_and_of_windows_are_read_as_systemd_reads_them(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "mark"
    lines = {
        "LIMITS": '{"concurrent_runs": 4, "tokens_per_day": 9}',
        "RATE": "120 / minute",
        "PASSWORD": "pa$ss&wo;rd",
        "COMMAND": f"$(touch {mark})",
    }
    written = "".join(f"{name}={value}\r\n" for name, value in lines.items())

    told = variables_of_a_command(written, tmp_path)

    assert {name: told[name] for name in lines} == lines
    assert not mark.exists()


def test_a_user_who_is_not_root_is_told_to_be() -> None:
    script = (ROOT / "deploy" / "systemd" / "llamakeep").read_text()

    told = run("sh", "-euc", script.replace("id -u", "echo 1000"), "llamakeep")

    assert told.returncode == 1
    assert told.stderr.startswith("llamakeep: Run it as root, such as with sudo")


def variables_of_a_command(settings: str, folder: Path) -> dict[str, str]:
    """Return what a command is given by `/usr/local/sbin/llamakeep`."""
    (folder / "llamakeep.env").write_bytes(settings.encode())
    script = (ROOT / "deploy" / "systemd" / "llamakeep").read_text()
    script = script.replace("/opt/llamakeep/bin/dotenv", f"{sys.executable} -m dotenv")
    script = re.sub(r"setpriv --[^\\]+\\\n", "", script).replace(PROGRAM, "")
    script = script.replace("id -u", "echo 0")
    script = re.sub("/(etc|var/lib)/llamakeep", str(folder), script)
    told = run("sh", "-euc", script, "llamakeep", "env", "--null")
    assert told.returncode == 0, told.stderr
    pairs = [line.partition("=") for line in told.stdout.split("\0") if line]
    return {name: value for name, _, value in pairs}


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
