"""JSON as servers really send it, and text that every database can keep."""

import json
import re
from typing import Any

from pydantic_core import from_json

_HIGH_HALF = re.compile("[\ud800-\udbff]")
_BACKSLASH = 0x5C
_VALUE = re.compile(rb'["\[{,]')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LARGE_EVENT = 64 * 1024
_MOST_IN_EVENT = 50_000
"""How many values an event may have; one with the words of an answer has a dozen."""


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # it is longer than Python converts
        return float(digits)


_LENIENT = json.JSONDecoder(strict=False, parse_int=_integer)


def read_json(data: bytes | bytearray) -> Any:
    """
    Return the value of a JSON text.

    Bytes that are no UTF-8 become U+FFFD. Halves of surrogate pairs stay what they
    are: `Joiner` makes text of them. Control characters may stand in strings as they
    are, and numbers may have any length.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
    """
    try:
        return from_json(data)
    except ValueError:
        text = data.removeprefix(_BYTE_ORDER_MARK).decode(errors="replace")
    try:
        return _LENIENT.decode(text)
    except RecursionError as error:
        raise ValueError("It is nested too deeply.") from error


def read_event_json(data: bytes) -> Any:
    """
    Return the value of an event's JSON text, as `read_json` does, in bounded time.

    Raises:
        ValueError: It is no JSON, nested too deeply, or has too many values.
    """
    if len(data) > _LARGE_EVENT and has_more_values_than(_MOST_IN_EVENT, data):
        raise ValueError("It has too many values.")
    return read_json(data)


def has_more_values_than(most: int, data: bytes | bytearray) -> bool:
    """
    Return whether a JSON text has more values than that.

    It costs less than building them, and lets other threads run in between.
    """
    values = strings = at = 0
    while (found := _VALUE.search(data, at)) is not None:
        at = found.end()
        if found[0] == b'"':  # what is in a string is text
            at = _end_of_string(data, at)
            strings += 1
        else:
            values += 1
        if values > most or strings > 2 * most + 1:  # each value may have a name
            return True
    return False


def _end_of_string(data: bytes | bytearray, start: int) -> int:
    """Return where a string ends that begins there, or the end of all."""
    quote = data.find(b'"', start)
    while quote >= 0:
        last = quote
        while last > start and data[last - 1] == _BACKSLASH:
            last -= 1
        if (quote - last) % 2 == 0:
            return quote + 1
        quote = data.find(b'"', quote + 1)
    return len(data)


class Joiner:
    """Makes text of pieces in which surrogate pairs may be cut in two."""

    def __init__(self) -> None:
        self._half = ""

    @property
    def has_half(self) -> bool:
        """Whether the last piece ended within a pair."""
        return bool(self._half)

    def join(self, piece: str) -> str:
        """
        Return `piece` as every database can keep it.

        A half at its end is kept back for the next piece; other halves, and NUL, become
        U+FFFD.
        """
        if not piece:
            return ""
        if self._half or not _is_text(piece):
            piece = self._half + piece
            self._half = ""
            if _HIGH_HALF.fullmatch(piece[-1]):
                self._half = piece[-1]
                piece = piece[:-1]
            units = piece.encode("utf-16-le", "surrogatepass")
            piece = units.decode("utf-16-le", "replace")
        return piece.replace("\0", "\ufffd") if "\0" in piece else piece

    def end(self) -> str:
        """Return what is left when no piece follows."""
        rest = "\ufffd" if self._half else ""
        self._half = ""
        return rest


def _is_text(piece: str) -> bool:
    if piece.isascii():
        return True
    try:
        piece.encode()
    except UnicodeEncodeError:
        return False
    return True
