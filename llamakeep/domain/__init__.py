"""What llamakeep talks about: users, runs, messages. Frozen values, no I/O."""

from llamakeep.domain.accounts import (
    Actor,
    ApiKey,
    AuditEvent,
    AuditKind,
    Scope,
    User,
    UserRole,
)
from llamakeep.domain.ids import (
    later_id,
    new_id,
    utc_now,
)
from llamakeep.domain.limits import (
    Dollars,
    Limits,
    Price,
    Reservation,
    RunCount,
    Tokens,
)
from llamakeep.domain.runs import (
    NEXT_STATUSES,
    UNFINISHED,
    Asked,
    Message,
    Notification,
    NotificationEvent,
    NotificationStatus,
    Parameters,
    Role,
    Run,
    RunStatus,
    Usage,
)

__all__ = [
    "NEXT_STATUSES",
    "UNFINISHED",
    "Actor",
    "ApiKey",
    "Asked",
    "AuditEvent",
    "AuditKind",
    "Dollars",
    "Limits",
    "Message",
    "Notification",
    "NotificationEvent",
    "NotificationStatus",
    "Parameters",
    "Price",
    "Reservation",
    "Role",
    "Run",
    "RunCount",
    "RunStatus",
    "Scope",
    "Tokens",
    "Usage",
    "User",
    "UserRole",
    "later_id",
    "new_id",
    "utc_now",
]
