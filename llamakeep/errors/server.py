"""Errors of this installation."""

from http import HTTPStatus
from typing import Self

from llamakeep.errors.base import UNREAD, LlamaKeepError


class ServerError(LlamaKeepError):
    """An error that the operator can fix."""


class NoProvider(ServerError):
    """Nothing is configured that could answer. Nothing was stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "no-provider"
    title = "No model is configured on this server."


class ServerBusy(ServerError):
    """The queue is full. Nothing was stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "server-busy"
    title = "The server has too many prompts waiting."


class CountsUnavailable(ServerError):
    """The shared count of failed logins is not available."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "counts-unavailable"
    title = "Logins cannot be counted right now."


class ServerStopping(ServerError):
    """The server is shutting down. Nothing was stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "server-stopping"
    title = "The server is shutting down."


class RunInterrupted(ServerError):
    """The server stopped while the run was unfinished; the text so far is kept."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "run-interrupted"
    title = "The server was interrupted while the run was going on."


class RunFailed(ServerError):
    """A bug of ours ended the run; the text so far is kept, the log says why."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "run-failed"
    title = "The server failed while it received the answer."


class StorageUnavailable(ServerError):
    """The database refuses to keep more: full, read-only, or gone."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "storage-unavailable"
    title = "The database cannot keep anything right now."

    is_full = False
    """Whether the disk is full, which a retry does not fix."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after: float | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.reason = reason or self.detail
        """What is wrong with the database, without what became of the request."""

    @classmethod
    def of_write(cls, reason: str, *, retry_after: float) -> Self:
        """Return the error of a transaction that was rolled back."""
        kept = "Nothing was stored by this request; what was kept before is safe."
        return cls(f"{reason} {kept}", retry_after=retry_after, reason=reason)

    @classmethod
    def of_read(cls, reason: str, *, retry_after: float) -> Self:
        """Return the error of a query, which says nothing about what is stored."""
        return cls(f"{reason} {UNREAD}", retry_after=retry_after, reason=reason)


class OutcomeUnknown(StorageUnavailable):
    """The database broke off during COMMIT: the data may be stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "storage-outcome-unknown"
    title = "It is not known whether this was stored."


class DatabaseMissing(ServerError):
    """There is no database file yet."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "database-missing"
    title = "There is no database yet."


class DatabaseInUse(ServerError):
    """Another process owns the database file."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "database-in-use"
    title = "Another llamakeep process owns this database."
    server: str | None = None
    """The URL that the owner serves, if known."""


class OneProcessOnly(ServerError):
    """More workers were asked for than there can be here."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "one-process-only"
    title = "Only one process can serve here."


class NodeAddressUnusable(ServerError):
    """Other nodes cannot be listened for where the settings say."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "node-address-unusable"
    title = "The server cannot listen for other nodes."


class WorkerFailed(ServerError):
    """A process that was to serve ended before it could."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "worker-failed"
    title = "A worker could not start."


class DatabaseOutdated(ServerError):
    """The tables have another version's schema."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "database-outdated"
    title = "The database has to be migrated first."
