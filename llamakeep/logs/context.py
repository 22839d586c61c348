"""Which request is being served, for the lines of the log."""

import re
from contextvars import ContextVar
from secrets import token_hex

from llamakeep.logs.redaction import looks_secret

REQUEST_ID = b"x-request-id"

_USABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=+@-]{0,127}")


class Served:
    """A request that is being served, and what is known of it so far."""

    request_id: str | None = None
    """`None` once it was served: tasks that it began may log for longer."""
    user_id: str | None = None
    run_id: str | None = None


SERVED: ContextVar[Served | None] = ContextVar("served", default=None)
"""What the current task does is done for this request."""


def usable(value: bytes) -> str | None:
    """Return the id that a client chose, if it is short, harmless and no secret."""
    text = value.decode("latin-1")
    return text if _USABLE.fullmatch(text) and not looks_secret(text) else None


def new_request_id() -> str:
    """Return a new request id; vendors' clients expect this form."""
    return f"req_{token_hex(13)}"


def request_id() -> str:
    """Return the id of the request that is being served, or a new one."""
    served = SERVED.get()
    return (served and served.request_id) or new_request_id()
