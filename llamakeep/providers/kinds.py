"""Checks of what kind a provider is, made once for each of their types."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Check = TypeVar("Check", bound=Callable[[Any], bool])


def by_type(check: Check) -> Check:
    """
    Remember what a check returns for each type.

    Comparing a provider with a protocol takes 60 µs, several times for each prompt.
    """
    known: dict[type, bool] = {}

    @wraps(check)
    def checked(provider: object) -> bool:
        found = known.get(type(provider))
        if found is None:
            found = known[type(provider)] = check(provider)
        return found

    return cast("Check", checked)
