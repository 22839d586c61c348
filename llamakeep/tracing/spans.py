"""Spans, and how they find the trace that they are part of."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Kind = Literal["server", "internal", "client"]
Attributes = Mapping[str, str | bool | int | float | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Span:
    """A span that has begun, or one of another program."""

    trace_id: int
    span_id: int
    parent_id: int | None = None
    is_sampled: bool = False
    """Whether it is exported, and those below it."""
    began: int = 0
    """In nanoseconds since 1970."""

    @property
    def traceparent(self) -> str:
        """The header for servers whose spans belong below this one."""
        flags = int(self.is_sampled)
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{flags:02x}"


ROOT: ContextVar[Callable[[str], Span] | None] = ContextVar("root", default=None)
"""
Returns the span of the request that the current task serves; its argument is the id of
a run that the request began.
"""
