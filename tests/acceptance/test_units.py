"""The unit files of `deploy/systemd`, as systemd's own tool sees them."""

import re
import subprocess
from pathlib import Path

from tests.acceptance.proxies import ROOT
from tests.debian import debian_program

UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
MOST_EXPOSED = 2.5


def test_the_units_are_right_and_expose_little(tmp_path: Path) -> None:
    analyze = debian_program("systemd-analyze", package="systemd")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/llamakeep/bin/llamakeep", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / unit.name) for unit in UNITS]
    service = next(unit for unit in units if unit.endswith(".service"))

    verified = run(analyze, "verify", *units)
    exposed = run(analyze, "security", "--offline=yes", "--no-pager", service)

    assert (verified.returncode, verified.stderr) == (0, "")
    found = re.search(
        r"exposure level for llamakeep\.service: ([\d.]+)", exposed.stdout
    )
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSED


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
