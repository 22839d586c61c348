"""The domain: users, runs, messages. Frozen values, no I/O."""

from llamakeep.domain.accounts import (
    Actor,
    ApiKey,
    AuditEvent,
    AuditKind,
    Scope,
    User,
    UserRole,
)
from llamakeep.domain.capabilities import Capabilities
from llamakeep.domain.embeddings import Vector
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
from llamakeep.domain.messages import (
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from llamakeep.domain.output import Item
from llamakeep.domain.runs import (
    LARGEST_USAGE,
    LONGEST_FINISH_REASON,
    MaxTokensName,
    NewRun,
    Notification,
    NotificationEvent,
    NotificationStatus,
    Parameters,
    Run,
    Usage,
)
from llamakeep.domain.states import (
    UNFINISHED,
    Effect,
    ForbiddenTransition,
    RunEvent,
    RunStatus,
)

__all__ = [
    "LARGEST_USAGE",
    "LONGEST_FINISH_REASON",
    "UNFINISHED",
    "Actor",
    "ApiKey",
    "AuditEvent",
    "AuditKind",
    "Capabilities",
    "Dollars",
    "Effect",
    "ForbiddenTransition",
    "Image",
    "Item",
    "Limits",
    "MaxTokensName",
    "Message",
    "NewRun",
    "Notification",
    "NotificationEvent",
    "NotificationStatus",
    "Parameters",
    "Part",
    "Price",
    "Reasoning",
    "Refusal",
    "Reservation",
    "Role",
    "Run",
    "RunCount",
    "RunEvent",
    "RunStatus",
    "Scope",
    "Text",
    "Tokens",
    "ToolCall",
    "ToolResult",
    "Usage",
    "User",
    "UserRole",
    "Vector",
    "later_id",
    "new_id",
    "utc_now",
]
