"""Reading a CSV file with users."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from llamakeep.credentials.usernames import check_username
from llamakeep.domain import Limits, UserRole
from llamakeep.errors import InvalidRequest
from llamakeep.errors.wording import wording_of
from llamakeep.settings.values import Days

LIMITS = tuple(field.name for field in fields(Limits))
COLUMNS = ("name", "role", *LIMITS, "retention_days", "keep_texts")
LARGEST = 10 * 1024 * 1024
MOST = 5000
"""Users of one file: on SQLite, a server waits about a second while they are stored."""
_ANSWERS = {
    "yes": True,
    "true": True,
    "1": True,
    "no": False,
    "false": False,
    "0": False,
}
_DAYS: TypeAdapter[int] = TypeAdapter(Days)
_LIMITS = TypeAdapter(Limits)


@dataclass(frozen=True, slots=True)
class Row:
    """A user in a file."""

    line: int
    username: str
    role: UserRole
    limits: Limits | None
    retention_days: int | None
    keeps: bool


class WrongFile(Exception):
    """A file that is no list of users; `faults` has a line for each mistake."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read_users(content: bytes) -> list[Row]:
    """
    Return the users in a CSV file; its first line names the columns.

    Raises:
        WrongFile: It says what is wrong in which line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise WrongFile(
            f"line {line}: It is not UTF-8. In Excel, save it as `CSV UTF-8`."
        ) from error
    first = text.partition("\n")[0]
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, faults, places = [], [], dict[str, int]()
    try:
        header = _header(next(reader, []))
        for cells in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if any(cell.strip() for cell in cells[len(header) :]):
                faults.append(f"line {line}: It has more cells than there are columns.")
                continue
            given = {
                name: cell.strip()
                for name, cell in zip(header, cells, strict=False)
                if cell.strip()
            }
            wrong = [f"line {line}: {each}" for each in _faults(given)]
            key = given.get("name", "").casefold()
            if key in places and not wrong:
                wrong = [f"line {line}: name: It is in line {places[key]} as well."]
            places.setdefault(key, line)
            faults += wrong
            if not wrong:
                rows.append(_row(line, given))
    except csv.Error as error:
        raise WrongFile(f"line {reader.line_num}: {error}.") from error
    if len(rows) > MOST:
        faults.append(f"There are more than {MOST} users: import them in pieces.")
    if faults:
        raise WrongFile(*faults)
    return rows


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    while names and not names[-1]:  # spreadsheets write columns that were emptied
        names.pop()
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or "name" not in names or len({*names}) != len(names):
        said = f"there is no column {unknown[0]!r}" if unknown else "one is `name`"
        raise WrongFile(
            "line 1: It has to name the columns, each once: "
            f"{said}. There are: {', '.join(COLUMNS)}."
        )
    return names


def _faults(given: Mapping[str, str]) -> Iterator[str]:
    try:
        check_username(given.get("name", ""))
    except InvalidRequest as error:
        yield f"name: {error.detail}."
    if given.get("role", "user") not in {*UserRole}:
        yield "role: It is `user` or `admin`."
    if given.get("keep_texts", "yes").lower() not in _ANSWERS:
        yield "keep_texts: It is `yes` or `no`."
    try:
        _DAYS.validate_strings(given.get("retention_days", "1"))
    except ValidationError:
        yield "retention_days: It is a number from 1 to 36500, or empty."
    try:
        _LIMITS.validate_strings(_limits_of(given))
    except ValidationError as error:
        for wrong in error.errors(include_input=False, include_url=False):
            yield f"{wrong['loc'][0]}: {wording_of(wrong)}"


def _limits_of(given: Mapping[str, str]) -> dict[str, Any]:
    return {name: given[name] for name in LIMITS if name in given}


def _row(line: int, given: Mapping[str, str]) -> Row:
    limits, days = _limits_of(given), given.get("retention_days")
    return Row(
        line,
        given["name"],
        UserRole(given.get("role", "user")),
        _LIMITS.validate_strings(limits) if limits else None,
        None if days is None else _DAYS.validate_strings(days),
        _ANSWERS[given.get("keep_texts", "yes").lower()],
    )
