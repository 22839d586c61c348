"""Quotas: limits with a period, and how much of them is used."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

Unit = Literal["runs", "tokens", "dollars", "prompts"]
Whose = Literal["user", "api_key", "server", "upstream", "alias"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One limit of a user, an API key, the server, an upstream or an alias."""

    id: str
    """The id of its count, which limits in several units share."""
    name: str
    """The limit's name, such as `tokens_per_day`."""
    whose: Whose
    unit: Unit
    limit: int | Decimal
    user_id: str | None = None
    """`None` for limits that all users share."""
    api_key_id: str | None = None
    subject: str | None = None
    """Which upstream or alias."""
    end_user: str | None = None
    """Of limits in prompts, which are counted in the history."""
    begins_at: datetime | None = None
    ends_at: datetime | None = None
    """When the count begins anew; `None` for limits of concurrent runs."""

    def left(self, count: "Count") -> int | Decimal:
        """Return what is free; below zero if the limit was lowered."""
        return self.limit - count.used(self.unit) - count.reserved(self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How much of a quota is used and reserved."""

    running: int = 0
    tokens_used: int = 0
    tokens_reserved: int = 0
    cost_used: Decimal = Decimal(0)
    cost_reserved: Decimal = Decimal(0)

    def used(self, unit: Unit) -> int | Decimal:
        """Return what finished runs used."""
        match unit:
            case "runs" | "prompts":
                return 0
            case "tokens":
                return self.tokens_used
            case "dollars":
                return self.cost_used

    def reserved(self, unit: Unit) -> int | Decimal:
        """Return the most that unfinished runs may use."""
        match unit:
            case "runs" | "prompts":
                return self.running
            case "tokens":
                return self.tokens_reserved
            case "dollars":
                return self.cost_reserved
