"""Rows of CSV whose cells are no formulas."""

import csv
import io
from collections.abc import Iterable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would take for a formula."""


def harmless(text: str) -> str:
    """Return a text that is no formula: one that would be begins with an apostrophe."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def row(facts: Iterable[object]) -> bytes:
    """Return a row; `None` is an empty cell."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow(facts)
    return text.getvalue().encode()
