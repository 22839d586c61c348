"""Parsing of history files for `llamakeep import`: JSON with prompts and responses."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from llamakeep.credentials.usernames import check_username
from llamakeep.errors import InvalidRequest
from llamakeep.schemas.text import check_text

EXPORTED = (
    "it is an export of llamakeep, with a run on each line. Import it with `llamakeep "
    "history import FILE --user NAME`."
)
"""The error for a file that `llamakeep history import` reads."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A prompt with its response."""

    username: str
    at: datetime
    prompt: str
    response: str

    @property
    def digest(self) -> bytes:
        """The digest by which a repeated entry is recognised."""
        facts = [self.at.isoformat(), self.prompt, self.response]
        return sha256(json.dumps(facts).encode()).digest()


class BadHistory(Exception):
    """The file cannot be imported as it is."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(*faults)
        self.faults = faults
        """Messages, each with its place in the file."""


def is_exported(data: bytes) -> bool:
    """Return whether a file begins with an exported run."""
    try:
        first = json.loads(data.lstrip().partition(b"\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and {"id", "prompt", "conversation_id"} <= set(first)


def is_history(data: bytes) -> bool:
    """Return whether a file has the format that `llamakeep import` reads."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if isinstance(content, dict) and "id" not in content:
        return any(
            isinstance(each, list)
            or (isinstance(each, dict) and isinstance(each.get("history"), list))
            for each in content.values()
        )
    return isinstance(content, list)


def read_history(data: bytes, username: str | None) -> list[Entry]:
    """
    Parse a history file.

    It is `{"history": [...]}` or only its list, of `username`, or one of either for
    each username.

    Raises:
        BadHistory: It has all errors of the file.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        fault = f"it is not JSON: {error}."
        raise BadHistory([EXPORTED if is_exported(data) else fault]) from error
    except RecursionError as error:
        raise BadHistory(["it is nested too deeply."]) from error
    if is_exported(data):  # of a single run
        raise BadHistory([EXPORTED])
    faults: list[str] = []
    entries: list[Entry] = []
    for owner, path, listed in _lists(content, username, faults):
        for number, item in enumerate(listed):
            try:
                entries.append(_entry(owner, item))
            except ValueError as error:
                faults.append(f"{path}[{number}]: {error}")
    if faults:
        raise BadHistory(faults)
    return entries


def _lists(
    content: Any, username: str | None, faults: list[str]
) -> Iterator[tuple[str, str, list[Any]]]:
    bare = content.get("history") if isinstance(content, dict) else content
    if isinstance(bare, list):
        if username is None:
            faults.append("it does not say whose history it is: use --user NAME.")
        else:
            yield username, "history" if bare is not content else "", bare
        return
    if not isinstance(content, dict):
        faults.append("it is neither a history nor a list of entries.")
        return
    if username is not None:
        faults.append("it says itself whose history it is: leave --user out.")
        return
    for owner, value in content.items():
        listed = value.get("history") if isinstance(value, dict) else value
        try:
            check_username(owner)
        except InvalidRequest as error:
            faults.append(f"{owner!r}: {error.detail}.")
            continue
        if isinstance(listed, list):
            yield owner, owner, listed
        else:
            faults.append(f"{owner}: it is not a list of entries.")


def _entry(username: str, item: Any) -> Entry:
    if not isinstance(item, dict):
        raise ValueError("it is not an object.")  # noqa: TRY004 - of the file's author
    return Entry(
        username,
        _moment(item.get("timestamp")),
        _text(item, "prompt"),
        _text(item, "response"),
    )


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise ValueError(f"its {name} is not a text.")  # noqa: TRY004 - as above
    try:
        return check_text(value)
    except ValueError as error:
        raise ValueError(f"its {name}: {error}") from error


def _moment(value: Any) -> datetime:
    """Parse ISO 8601, by default in UTC, or seconds since 1970."""
    with suppress(ValueError, TypeError, OverflowError, OSError):
        if isinstance(value, str):
            at = datetime.fromisoformat(value.strip())
        else:
            at = datetime.fromtimestamp(value, UTC)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        if at.year >= 1970:
            return at
    raise ValueError("its timestamp is not a time such as 2025-06-28T12:34:56Z.")
