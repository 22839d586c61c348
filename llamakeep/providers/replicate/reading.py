"""Replicate's JSON, whatever is in it, read without keeping others waiting."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from pydantic_core import from_json

from llamakeep.errors import ProviderAnswerInvalid

LARGE = 256 * 1024
"""Bytes from which on a body is for a thread."""

_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRING = re.compile(_TEXT, re.DOTALL)
_MORE_STRINGS = re.compile(rb"(?:\s*,\s*%b){1,10000}+" % _TEXT, re.DOTALL)
_SPACE = re.compile(rb"\s*")
_MAX_STRINGS = 500_000
_MAX_BRACKETS = 200_000
_MAX_MEMBER = 8 * 1024 * 1024


def read_json(body: bytes) -> Any:
    """
    Return `body` as JSON; bytes and surrogates that are no text are replaced.

    Raises:
        ProviderAnswerInvalid: It is something else, or too much of it.
    """
    if len(body) > LARGE and _is_complex(body, 0, len(body)):
        raise invalid("has too many parts")
    try:
        return _parsed(body)
    except ValueError as error:
        raise invalid("is not JSON") from error


def read_members(body: bytes, names: Collection[str]) -> dict[str, Any]:
    """
    Return these members of the JSON object in `body`, without building the others.

    Much faster than `read_json` where there is much else, and it does not keep other
    threads waiting. A member `output` that is a list of texts is one text, joined, and
    one that is too much to be built is its JSON, as a text. What else is too much is
    left out.

    Raises:
        ProviderAnswerInvalid: It is no such object, or too much.
    """
    found: dict[str, Any] = {}
    try:
        for name, start, end in _members(body):
            if name not in names:
                continue
            if name == "output":
                found[name] = _output(body, start, end)
            elif not _is_much(body, start, end):
                found[name] = _parsed(body[start:end])
    except ValueError as error:
        raise invalid("is not a JSON object") from error
    return found


def invalid(what: str) -> ProviderAnswerInvalid:
    """Return the error for something that cannot be read."""
    return ProviderAnswerInvalid(
        f"Replicate sent something that cannot be read: it {what}."
    )


def _parsed(data: bytes) -> Any:
    try:
        return from_json(data)
    except ValueError:
        # Half a surrogate pair, or a byte that is no UTF-8: only that is replaced.
        try:
            return json.loads(data.decode("utf-8-sig", errors="replace"))
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


def _members(body: bytes) -> Iterator[tuple[str, int, int]]:
    name: str | None = None
    depth = value = at = count = 0
    while (start := body.find(b'"', at)) >= 0:
        depth += _depth(body, at, start)
        string = _string(body, start)
        count += 1
        if count > _MAX_STRINGS:
            raise ValueError("it has too many strings")
        if depth > 1:
            more = _MORE_STRINGS.match(body, string.end())
            at = more.end() if more else string.end()
            continue
        before = body[max(at, start - 64) : start].rstrip()
        if before.endswith((b"{", b",")):
            if name is not None:
                yield name, value, body.rindex(b",", at, start)
            name, value = _parsed(string[0]), _after_colon(body, string.end())
            at = value
        else:
            at = string.end()
    if depth + _depth(body, at, len(body)) != 0:
        raise ValueError("it is cut off")
    if name is not None:
        yield name, value, body.rindex(b"}", at)


def _string(body: bytes, start: int) -> re.Match[bytes]:
    string = _STRING.match(body, start)
    if string is None:
        raise ValueError("it is cut off in a string")
    return string


def _after_colon(body: bytes, start: int) -> int:
    colon = body.find(b":", start, start + 64)
    if colon < 0 or body[start:colon].strip():
        raise ValueError("a name has no value")
    return colon + 1


def _depth(body: bytes, start: int, end: int) -> int:
    closed = body.count(b"]", start, end) + body.count(b"}", start, end)
    return _brackets(body, start, end) - closed


def _brackets(body: bytes, start: int, end: int) -> int:
    return body.count(b"[", start, end) + body.count(b"{", start, end)


def _is_complex(body: bytes, start: int, end: int) -> bool:
    """Return whether it takes long to build, and others would have to wait."""
    return (
        _brackets(body, start, end) > _MAX_BRACKETS
        or body.count(b",", start, end) > 4 * _MAX_STRINGS
    )


def _is_much(body: bytes, start: int, end: int) -> bool:
    return end - start > _MAX_MEMBER or _is_complex(body, start, end)


def _output(body: bytes, start: int, end: int) -> Any:
    at = _skip_space(body, start)
    if body[at : at + 1] == b'"':
        return _parsed(body[at:end])
    if body[at : at + 1] == b"[" and (text := _joined(body, at + 1, end)) is not None:
        return text
    if _is_much(body, at, end):
        return body[at:end].decode(errors="replace")
    return _parsed(body[at:end])


def _joined(body: bytes, start: int, end: int) -> str | None:
    """Return the texts in a list, joined, or `None` if it has something else."""
    at = _skip_space(body, start)
    texts: list[str] = []
    first = _STRING.match(body, at, end)
    if first is not None:
        texts.append(_parsed(first[0]))
        at = first.end()
        while more := _MORE_STRINGS.match(body, at, end):
            some = _parsed(b"[%b]" % more[0].lstrip().removeprefix(b","))
            texts.append("".join(some))
            at = more.end()
    return "".join(texts) if body[at:end].strip() == b"]" else None


def _skip_space(body: bytes, start: int) -> int:
    found = _SPACE.match(body, start)
    assert found is not None
    return found.end()
