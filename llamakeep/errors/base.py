"""The base class of all errors."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

UNREAD = (
    "This request was not carried out; what was kept before, also under the same "
    "Idempotency-Key, is safe."
)
"""What a detail says where nothing about stored data was looked up."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one field of a request."""

    field: str
    """Where: `prompt`, `metadata.project`, `query.limit`, `header.idempotency-key`."""
    message: str
    """What is wrong, and how to fix it."""


class LlamaKeepError(Exception):
    """
    The base class; never raised itself.

    Args:
        detail: What happened, what was kept and what to do, without secrets.
        retry_after: Seconds to wait before trying again, if known.
    """

    status: ClassVar[HTTPStatus]
    code: ClassVar[str]
    """A slug that never changes once released."""
    title: ClassVar[str]
    """Constant for the class."""

    nothing_paid: bool = False
    """
    Whether it is certain that the provider charges nothing for the prompt that this
    ended, so that another one may be asked.
    """

    def __init__(
        self, detail: str | None = None, *, retry_after: float | None = None
    ) -> None:
        self.detail = detail or self.title
        self.retry_after = retry_after
        self.run_id: str | None = None
        """The run whose prompt is stored in spite of the error."""
        super().__init__(self.detail)

    @property
    def log_level(self) -> int:
        """The level at which it is logged: what no client can fix is a warning."""
        is_clients = self.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return logging.INFO if is_clients else logging.WARNING

    @property
    def how_to_fix(self) -> str:
        """The detail, for those who did not want to store anything."""
        return self.detail.removeprefix("Nothing was stored. ")


def walk(base: type[LlamaKeepError] = LlamaKeepError) -> Iterator[type[LlamaKeepError]]:
    """Yield every concrete error class, parents first."""
    for child in base.__subclasses__():
        if hasattr(child, "code"):
            yield child
        yield from walk(child)
