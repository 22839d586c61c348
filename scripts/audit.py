"""
Say which of the packages that are shipped have known vulnerabilities.

    python scripts/audit.py PIP_AUDIT

PIP_AUDIT is the program of that name. Where its database cannot be reached, nothing is
audited, and that is said; it is no failure, since it is not the change's fault.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
OPTIONS = [
    *("--disable-pip", "--no-deps", "--require-hashes"),
    *("--vulnerability-service", "pypi", "--format", "json"),
    *("--progress-spinner", "off", "--timeout", "10"),
]
LONGEST = 120
"""Seconds that all questions together may take."""


def main(pip_audit: str) -> int:
    """Return 1 when something vulnerable is shipped."""
    try:
        done = subprocess.run(
            [pip_audit, *OPTIONS, "--requirement", str(REQUIREMENTS)],
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )
        found: Sequence[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return not_audited(f"it did not answer within {LONGEST} s")
    except ValueError:
        return not_audited(done.stderr.strip().splitlines()[-1:] or "it said nothing")
    return report(found)


def report(found: Sequence[dict[str, Any]]) -> int:
    """Say what was found."""
    unknown = [one["name"] for one in found if "skip_reason" in one]
    vulnerable = [one for one in found if one.get("vulns")]
    for one in vulnerable:
        for each in one["vulns"]:
            mended = ", ".join(each["fix_versions"]) or "nothing yet"
            print(f"{one['name']} {one['version']}: {each['id']}, mended in {mended}")
    if unknown and len(unknown) == len(found):
        return not_audited("it knows none of the packages")
    if unknown:
        print(f"Not audited, because nothing is known of them: {', '.join(unknown)}.")
    audited = len(found) - len(unknown)
    print(f"{audited} packages audited, {len(vulnerable)} of them vulnerable.")
    return int(bool(vulnerable))


def not_audited(reason: object) -> int:
    """Say that nothing is known."""
    print(f"NOT AUDITED: the database of vulnerabilities is not reachable ({reason}).")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
