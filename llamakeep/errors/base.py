"""What all errors have."""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

UNREAD = (
    "This request was not carried out; what was kept before, also under the same "
    "Idempotency-Key, is safe."
)
"""What is said of what was kept, where that was not looked up."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field of a request."""

    field: str
    """Where: `prompt`, `metadata.project`, `query.limit`, `header.idempotency-key`."""
    message: str
    """What is wrong and how to mend it."""


class LlamaKeepError(Exception):
    """
    The base of the tree; never raised itself.

    Args:
        detail: What happened, what was kept and what to do, safe to show to anybody.
        retry_after: Seconds after which trying again makes sense, if that is known.
    """

    status: ClassVar[HTTPStatus]
    code: ClassVar[str]
    """A slug that never changes once released."""
    title: ClassVar[str]
    """The same for all occurrences."""

    def __init__(
        self, detail: str | None = None, *, retry_after: float | None = None
    ) -> None:
        self.detail = detail or self.title
        self.retry_after = retry_after
        self.run_id: str | None = None
        """The run whose prompt is kept although this happened."""
        super().__init__(self.detail)


def walk(base: type[LlamaKeepError] = LlamaKeepError) -> Iterator[type[LlamaKeepError]]:
    """Yield every class of the tree that can occur, parents first."""
    for child in base.__subclasses__():
        if hasattr(child, "code"):
            yield child
        yield from walk(child)
