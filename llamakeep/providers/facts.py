"""What is said of an upstream beside what its provider has to know to ask it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFacts:
    """What `llamakeep.toml` or variables say; by default, nothing."""

    extra_fields: Collection[str] | None = None
    """The fields of other servers that it takes; `None` if its provider decides."""
    rooms: Mapping[str, int] = field(default_factory=dict)
    """By model: how many tokens it reads and writes, if that is said."""
    parallel: int | None = None
    """How many runs a process may have there at the same time."""
    has_one_model: bool = False
    """Whether it serves one model and no other."""


NO_FACTS = UpstreamFacts()
