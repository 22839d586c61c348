"""At which line of a TOML file a key is, for messages about it."""

import re
import tomllib
from collections.abc import Iterator, Sequence

Path = tuple[str, ...]

DEEPEST = 8
"""How many parts of a key are looked at; none that is known has as many."""

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEYS = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_KEYS})\s*\]")
_VALUE = re.compile(rf"\s*({_KEYS})\s*=")


class Lines:
    """
    Where the keys of a TOML text are that can be read.

    It looks at headers and at the beginnings of lines, no further: what is inside an
    inline table or an array is reported at the line where that begins.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")  # as TOML has them, unlike `splitlines`
        self._places: dict[Path, int] = {}
        for number, path in self._found():
            for end in range(1, min(len(path), DEEPEST) + 1):
                self._places.setdefault(path[:end], number)

    def of(self, path: Sequence[str], mentioned: str | None = None) -> int | None:
        """
        Return the line of a key, or of the nearest one around it.

        If a text is `mentioned` there, in quotes, it is the line of that.
        """
        for end in range(len(path), 0, -1):
            line = self._places.get(tuple(path[:end]))
            if line is not None:
                return self._mention(line, mentioned) if mentioned else line
        return None

    def _mention(self, start: int, text: str) -> int:
        after = min(
            (line for line in self._places.values() if line > start),
            default=len(self._lines) + 1,
        )
        for number in range(start, after):
            line = self._lines[number - 1]
            if f'"{text}"' in line or f"'{text}'" in line:
                return number
        return start

    def _found(self) -> Iterator[tuple[int, Path]]:
        table: Path = ()
        for number, line in enumerate(self._lines, start=1):
            if header := _HEADER.match(line):
                table = _split(header[1])
                yield number, table
            elif value := _VALUE.match(line):
                yield number, (*table, *_split(value[1]))


def _split(keys: str) -> Path:
    """Return the parts of a dotted key without their quotes."""
    try:
        found: object = tomllib.loads(f"{keys} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while isinstance(found, dict):
        [(name, found)] = found.items()
        path.append(name)
    return tuple(path)
