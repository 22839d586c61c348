"""What was measured, as tables in Markdown and in JSON."""

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Cell = str | float | None

LIBRARIES = ("fastapi", "starlette", "uvicorn", "uvloop", "pydantic", "sqlalchemy")
FLOOR = ("aiohttp",)


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows under one title."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def markdown(self) -> str:
        lines = [self.head, ["---"] * len(self.head)]
        lines += [[shown(cell) for cell in row] for row in self.rows]
        rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"### {self.title}\n\n{rows}\n"


@dataclass(frozen=True, slots=True)
class Section:
    """What one part of the benchmark found."""

    name: str
    method: str
    ratios: Sequence[Table]
    """What travels to another machine; told first."""
    details: Sequence[Table]


def shown(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    if isinstance(cell, str):
        return cell
    size = abs(cell)
    if isinstance(cell, int) or size >= 100:
        return f"{cell:,.0f}"
    digits = 1 if size >= 10 else 2 if size >= 0.1 or not size else 3
    return f"{cell:.{digits}f}"


def median(values: Iterable[float]) -> float:
    """Return it, or that it is not known."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def ratio(these: Iterable[float], those: Iterable[float]) -> float:
    """Return the median of the rounds' ratios, whose halves are from the same time."""
    pairs = zip(these, those, strict=True)
    return median(one / other if other else math.nan for one, other in pairs)


def machine() -> str:
    """Return where and on what this runs."""
    found = []
    for name in (*LIBRARIES, *FLOOR):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return (
        f"{os.cpu_count()} cores, {_processor()}, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}; "
        f"{', '.join(found)}."
    )


def _processor() -> str:
    with_name = Path("/proc/cpuinfo")
    if with_name.exists():
        for line in with_name.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _known(found: Any) -> Any:
    """Return it with `None` where a number is not known: JSON has no other word."""
    if isinstance(found, dict):
        return {name: _known(each) for name, each in found.items()}
    if isinstance(found, list | tuple):
        return [_known(each) for each in found]
    return None if isinstance(found, float) and math.isnan(found) else found


class Report:
    """All sections, ratios first."""

    def __init__(
        self, rounds: int, seconds: float, sections: Sequence[Section]
    ) -> None:
        self._rounds = rounds
        self._seconds = seconds
        self._sections = sections
        self._when = time.strftime("%Y-%m-%d %H:%M")

    def markdown(self) -> str:
        parts = [
            "# What `python -m bench` measured\n",
            self._introduction(),
            "## Ratios\n",
            *(table.markdown() for one in self._sections for table in one.ratios),
        ]
        for one in self._sections:
            parts += [f"## {one.name}\n", f"{one.method}\n"]
            parts += [table.markdown() for table in one.details]
        return "\n".join(parts)

    def _introduction(self) -> str:
        return (
            f"{self._when}: {machine()} Medians of {self._rounds} rounds that take "
            f"turns, {self._seconds:g} s for a burst of requests; a ratio is the "
            "median of the rounds' ratios.\n"
        )

    def json(self) -> str:
        return json.dumps(
            {
                "when": self._when,
                "machine": machine(),
                "rounds": self._rounds,
                "seconds": self._seconds,
                "sections": [_known(asdict(one)) for one in self._sections],
            },
            indent=1,
            allow_nan=False,
        )
