"""Request rates, as operators write them: `10/second;1000/day`."""

import re
from typing import NamedTuple

PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

_WRITTEN = re.compile(
    r"\s*([1-9]\d{0,8})\s*/\s*([1-9]\d{0,4})?\s*(second|minute|hour|day)s?\s*"
)


class Rate(NamedTuple):
    """An amount per sliding period, in seconds."""

    amount: int
    seconds: int

    def __str__(self) -> str:
        """Return it in words: `120 in 1 minute`, `10 in 5 minutes`."""
        unit = max(u for u in PERIODS.values() if self.seconds % u == 0)
        number = self.seconds // unit
        name = next(name for name, seconds in PERIODS.items() if seconds == unit)
        return f"{self.amount} in {number} {name}{'s' if number > 1 else ''}"


def parse_rates(written: str) -> tuple[Rate, ...]:
    """
    Return the rates in `120/minute`, `10/second;1000/day` or `100/15 minutes`.

    Raises:
        ValueError: There is something else in it.
    """
    rates = []
    for each in written.split(";"):
        match = _WRITTEN.fullmatch(each)
        if match is None:
            raise ValueError(
                f"{each.strip()!r} is no rate; write `120/minute`, `100/15 minutes` or "
                "several, such as `10/second;1000/day`"
            )
        amount, number, period = match.groups()
        rates.append(Rate(int(amount), int(number or 1) * PERIODS[period]))
    return tuple(rates)
