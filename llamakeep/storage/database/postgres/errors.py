"""What PostgreSQL's errors mean: a bug, a collision, or a server that fails."""

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from llamakeep.errors import OutcomeUnknown
from llamakeep.storage.database.postgres.connecting import reason_of

_SERVER_TROUBLE = ("08", "25006", "25P03", "28", "3D", "53", "57", "58")
"""
SQLSTATE prefixes of a server that cannot be used: connection, read-only, idle timeout,
authentication, database missing, no room, shutdown, system error:
https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""
TOO_MANY_CONNECTIONS = "53300"
DISK_FULL = "53100"
_COMMIT_UNKNOWN = ("08", "57P")
"""SQLSTATE prefixes of errors that leave a COMMIT's outcome unknown."""

ERRORS = (
    DBAPIError,
    OSError,
    TimeoutError,
    PoolTimeout,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server has ended a connection that is still open
)


def sqlstate_of(error: BaseException) -> str:
    """Return an error's SQLSTATE; an empty string if the server did not report it."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    return getattr(orig, "sqlstate", None) or ""


def message_of(error: BaseException) -> str:
    """Return an error's message, for the log."""
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig
    return f"PostgreSQL: {reason_of(cause)}"


def is_rolled_back(error: BaseException) -> bool:
    """Return whether the server reported that it refused a commit."""
    sqlstate = sqlstate_of(error)
    return bool(sqlstate) and not sqlstate.startswith(_COMMIT_UNKNOWN)


def is_collision(error: DBAPIError) -> bool:
    """Return whether a transaction may succeed when it is repeated."""
    return isinstance(error, IntegrityError) or sqlstate_of(error) in {"40001", "40P01"}


def is_about_the_server(error: DBAPIError) -> bool:
    """Return whether the server, rather than the statement, is at fault."""
    return (
        error.connection_invalidated
        or isinstance(error, OperationalError | InterfaceError)
        or sqlstate_of(error).startswith(_SERVER_TROUBLE)
    )


def outcome_unknown(error: Exception) -> OutcomeUnknown:
    """Return the error of a connection that was lost during a commit."""
    unknown = OutcomeUnknown(
        "The connection to PostgreSQL broke off during COMMIT: it is not known "
        "whether this was stored. Look for it, a prompt in your history, or send "
        "it again, a prompt under the same Idempotency-Key, which stores it once.",
        reason="PostgreSQL broke off during COMMIT.",
    )
    unknown.__cause__ = error
    return unknown
