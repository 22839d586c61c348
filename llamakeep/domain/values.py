"""Immutable value classes."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(field,)
)
def value(made: type[T]) -> type[T]:
    """
    Make a class a frozen dataclass with slots, whose fields are given by name.

    mypy refuses assignments to its fields. The interpreter does not: a dataclass that
    is frozen there sets each field by a call, which makes a `Run` take twice as long,
    and each prompt makes several.
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(made)
