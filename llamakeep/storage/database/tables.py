"""
The tables, as the newest migration leaves them.

Those of accounts are in `storage/accounts/tables.py`.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    text,
)

from llamakeep.domain import (
    NotificationEvent,
    NotificationStatus,
    Reservation,
    RunStatus,
)
from llamakeep.domain.runs import LONGEST_END_USER
from llamakeep.storage.database.columns import (
    Dollars,
    Facts,
    UtcDateTime,
    metadata,
    owner,
    words_of,
)
from llamakeep.storage.database.conditions import (
    FAILED_WAYS,
    IS_UNFINISHED,
    is_one_of,
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    # Without a foreign key: runs outlive API keys.
    Column("api_key_id", String(32)),
    # Whom the client asked for.
    Column("end_user", String(LONGEST_END_USER)),
    # What it came through; empty in rows of earlier versions.
    Column("source", String(32)),
    Column("status", words_of(RunStatus), nullable=False),
    # Texts.
    Column("prompt", Text, nullable=False),
    Column("response", Text, nullable=False, server_default=""),
    Column("common_length", Integer),
    Column("system_prompt", Text),
    Column("earlier", JSON(none_as_null=True)),
    # What prompt and response have beside their texts.
    Column("last_message", JSON(none_as_null=True)),
    Column("output", JSON(none_as_null=True)),
    # False: its texts are erased at its end. Empty is true.
    Column("store", Boolean),
    Column("conversation_id", String(32), nullable=False),
    Column("previous_run_id", String(32)),
    Column("parameters", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    # Provider and outcome.
    Column("provider", String(32), nullable=False),
    Column("model", String(256), nullable=False),
    Column("resolved_model", String(256)),
    Column("finish_reason", String(64)),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("cost", Dollars),
    # What it reserves of quotas, until it is settled.
    Column("reservation", Facts(Reservation)),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    # Microseconds after `created_at`.
    Column("first_word_after", BigInteger),
    Column("finished_at", UtcDateTime),
    # Its node; `attempt` is the fence that every later write names.
    Column("attempt", Integer, nullable=False),
    Column("owner", String(32)),
    Column("lease_until", UtcDateTime),  # unused: dropping it rewrites a SQLite file
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    # Finds the answer again at its provider.
    Column("handle", String(128)),
    # Idempotency.
    Column("idempotency_key", String(255)),
    Column("request_digest", LargeBinary(32)),
)

nodes = Table(
    "nodes",
    metadata,
    # The processes that hold runs. A dead one's row stays while runs of it are left.
    Column("id", String(32), primary_key=True),
    Column("lease_until", UtcDateTime),  # empty on SQLite: no other node can be alive
    Column("is_dead", Boolean, nullable=False, server_default=false()),
    # How other nodes reach it, and what signs that.
    Column("address", String(300)),
    Column("secret", String(64)),
    # The same for those on other machines, and what it shows there.
    Column("remote_address", String(300)),
    Column("certificate", Text),
    # So that one that is gone means something also to who did not see it.
    Column("had_session", Boolean, nullable=False, server_default=false()),
)

quotas = Table(
    "quotas",
    metadata,
    # Owner and period: `user_…:2026-11-22`, `server:2026-11`.
    Column("id", String(64), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("ends_at", UtcDateTime),
    Column("running", Integer, nullable=False, server_default="0"),
    Column("tokens_used", BigInteger, nullable=False, server_default="0"),
    Column("tokens_reserved", BigInteger, nullable=False, server_default="0"),
    Column("cost_used", Dollars, nullable=False, server_default="0"),
    Column("cost_reserved", Dollars, nullable=False, server_default="0"),
)

run_tags = Table(
    "run_tags",
    metadata,
    Column("user_id", String(32), primary_key=True),
    # Two for each pair of a run's metadata: `key` and `key:value`.
    Column("tag", String(577), primary_key=True),
    Column(
        "run_id",
        ForeignKey("runs.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    sqlite_with_rowid=False,
)

images = Table(
    "images",
    metadata,
    # Once for each user, however many of their runs show it.
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("media_type", String(32), nullable=False),
    Column("size", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

run_images = Table(
    "run_images",
    metadata,
    # The images that a run's own messages show. When the last one of an image is
    # deleted, a trigger deletes the image.
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("user_id", String(32), nullable=False),
    ForeignKeyConstraint(
        ["user_id", "sha256"],
        ["images.user_id", "images.sha256"],
        name="run_images_image_fk",
        ondelete="CASCADE",
    ),
    Index("run_images_by_image", "user_id", "sha256"),
    sqlite_with_rowid=False,
)

conversation_titles = Table(
    "conversation_titles",
    metadata,
    # Only of conversations whose user chose a title.
    Column("conversation_id", String(32), primary_key=True),
    owner(),
    Column("title", String(200), nullable=False),
)

gates = Table(
    "gates",
    metadata,
    Column("provider", String(32), primary_key=True),
    # No request is sent to the provider until then.
    Column("closed_until", UtcDateTime),
    # Failures in a row.
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("error_code", String(64)),
    Column("error_detail", Text),
)

clock = Table(
    "clock",
    metadata,
    # When the clock was last plausible, and when a write was last tried.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    # Ids of received webhooks, so that each is processed once.
    Column("id", String(255), primary_key=True),
    Column("received_at", UtcDateTime, nullable=False, index=True),
)

notifications = Table(
    "notifications",
    metadata,
    # Outgoing webhooks.
    Column("id", String(32), primary_key=True),
    Column(
        "run_id", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("event", words_of(NotificationEvent), nullable=False),
    Column("url", Text, nullable=False),
    Column("host", String(300), nullable=False),
    Column("form", String(16), nullable=False),
    Column("origin", Text),
    Column("status", words_of(NotificationStatus), nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    # A try moves it forward, to when the next one may begin if this one is lost.
    Column("next_try_at", UtcDateTime),
    Column("last_error", String(256)),
)

# History is filtered by model and key, and conversations are listed, from this index
# alone.
Index(
    "runs_by_user",
    runs.c.user_id,
    runs.c.id,
    runs.c.model,
    runs.c.api_key_id,
    runs.c.conversation_id,
)
Index("runs_by_conversation", runs.c.conversation_id, runs.c.id)


def _partial(name: str, *columns: Column[object], unique: bool, where: object) -> None:
    """
    Create a partial index, for columns that few rows have.

    The migrations create PostgreSQL's: to name its condition here would import that
    dialect at each start.
    """
    Index(name, *columns, unique=unique, sqlite_where=where)


_partial(
    "runs_by_idempotency_key",
    runs.c.user_id,
    runs.c.idempotency_key,
    unique=True,
    where=runs.c.idempotency_key.is_not(None),
)
_partial(
    "runs_by_end_user",
    runs.c.user_id,
    runs.c.end_user,
    runs.c.id,
    unique=False,
    where=runs.c.end_user.is_not(None),
)
_partial(
    "runs_by_handle",
    runs.c.provider,
    runs.c.handle,
    unique=True,
    where=runs.c.handle.is_not(None),
)
_partial(
    "runs_that_failed",
    runs.c.user_id,
    runs.c.status,
    runs.c.id,
    unique=False,
    where=text(is_one_of(FAILED_WAYS)),
)
_partial(
    "notifications_due",
    notifications.c.next_try_at,
    unique=False,
    where=notifications.c.next_try_at.is_not(None),
)
_partial("runs_unfinished", runs.c.owner, unique=False, where=IS_UNFINISHED)
