"""What was found, as people read it."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.torture.scenarios import Outcome

BEGIN, END = "<!-- written by make torture -->\n", "<!-- until here -->\n"
_HEAD = (
    "scenario",
    "database",
    "prompts",
    "faults",
    "creates lost",
    "streams resumed",
    "lost",
    "wrong text",
    "created twice",
    "extra, canceled",
    "slowest recovery",
)


@dataclass
class Row:
    """One scenario on one database."""

    scenario: str
    database: str
    outcome: Outcome

    def cells(self) -> list[str]:
        """Return what the table says."""
        done, found = self.outcome, self.outcome.verdict
        counts = [len(found.lost), len(found.wrong), len(found.twice)]
        return [
            self.scenario,
            self.database,
            f"{found.prompts:,}",
            done.what_was_done,
            f"{done.creates_lost}",
            f"{found.resumed:,}",
            *(f"{count}" if count == 0 else f"**{count}**" for count in counts),
            f"{found.extra_canceled}",
            f"{found.slowest:.1f} s" if done.is_timed else "not measured",
        ]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [list(_HEAD), ["---"] * len(_HEAD), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def where_and_when(versions: Sequence[str], seconds: float) -> str:
    """Return on what it was measured, and how long that took."""
    facts = [
        datetime.now(UTC).date().isoformat(),
        f"{platform.system()} {platform.release()} ({platform.machine()})",
        f"{os.cpu_count()} cores",
        f"Python {platform.python_version()}",
        *versions,
        f"{seconds / 60:.1f} minutes",
    ]
    return f"{', '.join(facts)}.\n"


def write(page: Path, text: str) -> None:
    """Put `text` where the page has the figures."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"{page} has lost its marks"
    page.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")
