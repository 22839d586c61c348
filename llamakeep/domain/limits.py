"""Limits, prices and reservations."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

from llamakeep.domain.values import value

RunCount = Annotated[int, Ge(0), Le(1_000_000)]
PromptCount = Annotated[int, Ge(0), Le(10_000)]
Tokens = Annotated[int, Ge(0), Le(10**15)]
Dollars = Annotated[Decimal, Ge(0), Le(10**9)]


@value
class Limits:
    """Limits; `None` is unlimited. Days and months are in UTC."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    concurrent_runs: RunCount | None = None
    """Unfinished prompts at the same time."""
    tokens_per_day: Tokens | None = None
    """Of prompts and answers together."""
    tokens_per_month: Tokens | None = None
    dollars_per_day: Dollars | None = None
    """US dollars. Models without a known price are refused then."""
    dollars_per_month: Dollars | None = None
    end_user_prompts_per_day: PromptCount | None = None
    """Of each end user by themselves."""

    def given(self) -> dict[str, Any]:
        """Return the ones that are set, by name."""
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price in US dollars per million tokens."""

    input: Dollars
    output: Dollars

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return US dollars."""
        return (self.input * input_tokens + self.output * output_tokens) / 1_000_000


@value
class Reservation:
    """The most that a run may use, reserved until it is settled."""

    quotas: tuple[str, ...]
    """The ids of the quotas."""
    input_tokens: int
    output_tokens: int
    cost: Decimal

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens
