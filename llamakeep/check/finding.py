"""What a check found."""

from typing import Literal

from llamakeep.domain.values import value

Level = Literal["ok", "warning", "failed"]


@value
class Finding:
    """One fact about an installation, and what to do about it."""

    about: str
    """Which part it is about, in a word: `database`, `disk`."""
    level: Level
    message: str
    fix: str = ""
    """What to do; empty if it is `ok`."""


def ok(about: str, message: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(about=about, level="ok", message=message)


def warning(about: str, message: str, fix: str) -> Finding:
    """Return that something works, but probably not as it is meant."""
    return Finding(about=about, level="warning", message=message, fix=fix)


def failed(about: str, message: str, fix: str) -> Finding:
    """Return that something does not work."""
    return Finding(about=about, level="failed", message=message, fix=fix)
