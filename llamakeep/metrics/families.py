"""Counters, gauges and histograms, and their text for Prometheus."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]
Snapshot = Mapping[str, Sequence[tuple[Sequence[str], Sequence[float]]]]
"""By the name of a family: the labels of each of its series, and its numbers."""

OTHER = "_OTHER"
"""What OpenTelemetry calls values of a label that are not told apart."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Family:
    """What series of one name have in common."""

    name: str
    help: str
    kind: Kind = "counter"
    labels: Labels = ()
    bounds: Sequence[float] = ()
    """The upper bounds of a histogram's buckets, but for the last, which has none."""


class Series:
    """
    The series of a family in this process, by the values of their labels.

    A counter's and a gauge's is one number; a histogram's, how many values each bucket
    has, and then their sum.
    """

    def __init__(self, family: Family) -> None:
        self.family = family
        self.rows: dict[Labels, list[float]] = {}
        self._bounds = family.bounds
        if not family.labels and family.kind != "gauge":
            self.row(())  # what has not happened yet is 0, not unknown

    def row(self, labels: Labels) -> list[float]:
        """Return the numbers of a series, which is begun if it is new."""
        row = self.rows.get(labels)
        if row is None:
            is_histogram = self.family.kind == "histogram"
            row = self.rows[labels] = [0] * (len(self._bounds) + 2 * is_histogram or 1)
        return row

    def add(self, *labels: str, amount: float = 1) -> None:
        """Add to a counter or a gauge."""
        self.row(labels)[0] += amount

    def observe(self, labels: Labels, value: float) -> None:
        """Count a value of a histogram."""
        row = self.rows.get(labels) or self.row(labels)
        row[bisect_left(self._bounds, value)] += 1
        row[-1] += value

    def observe_all(self, labels: Labels, values: list[float]) -> None:
        """
        Count many values of a histogram, which are sorted.

        What is below 0, as a clock was set back, counts as 0.
        """
        if not values:
            return
        values.sort()
        row, before = self.row(labels), 0
        for place, bound in enumerate(self._bounds):
            within = bisect_right(values, bound)
            row[place] += within - before
            before = within
        row[-2] += len(values) - before
        below = values[: bisect_left(values, 0)]
        row[-1] += sum(values) - sum(below)


def snapshot_of(many: Iterable[Series]) -> Snapshot:
    """Return the numbers of all series, as JSON can have them."""
    return {
        each.family.name: [(labels, list(row)) for labels, row in each.rows.items()]
        for each in many
    }


def monotone(snapshot: Snapshot) -> Snapshot:
    """Return what a process that has ended leaves: counters and histograms."""
    return {
        name: series
        for name, series in snapshot.items()
        if name.endswith(("_total", "_seconds", "_size", "_usage"))
    }


def merged(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Add up the series of several processes."""
    sums: dict[str, dict[Labels, list[float]]] = {}
    for snapshot in snapshots:
        for name, series in snapshot.items():
            rows = sums.setdefault(name, {})
            for labels, row in series:
                before = rows.get(tuple(labels))
                rows[tuple(labels)] = (
                    list(row)
                    if before is None
                    else [one + other for one, other in zip(before, row, strict=True)]
                )
    return {name: list(rows.items()) for name, rows in sums.items()}


def text_of(families: Iterable[Family], snapshot: Snapshot) -> str:
    """Return Prometheus's text of the families of which the snapshot has any series."""
    lines: list[str] = []
    for family in families:
        series = snapshot.get(family.name)
        if not series:
            continue
        lines.extend(
            (
                f"# HELP {family.name} {family.help}",
                f"# TYPE {family.name} {family.kind}",
            )
        )
        for labels, row in series:
            pairs = [
                f'{name}="{value.translate(_ESCAPED)}"'
                for name, value in zip(family.labels, labels, strict=True)
            ]
            if family.kind == "histogram":
                lines += _histogram(family, pairs, row)
            else:
                lines.append(f"{family.name}{_in_braces(pairs)} {_number(row[0])}")
    return "".join(f"{line}\n" for line in lines)


def _histogram(
    family: Family, pairs: Sequence[str], row: Sequence[float]
) -> Iterable[str]:
    name, count = family.name, 0.0
    bounds = [*map(_number, family.bounds), "+Inf"]
    for bound, here in zip(bounds, row[:-1], strict=True):
        count += here
        within = _in_braces([*pairs, f'le="{bound}"'])
        yield f"{name}_bucket{within} {_number(count)}"
    yield f"{name}_sum{_in_braces(pairs)} {_number(row[-1])}"
    yield f"{name}_count{_in_braces(pairs)} {_number(count)}"


def _in_braces(pairs: Sequence[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
