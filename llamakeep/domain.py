"""What llamakeep talks about: users, runs, messages. Frozen values, no I/O."""

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le

RunCount = Annotated[int, Ge(0), Le(1_000_000)]
Tokens = Annotated[int, Ge(0), Le(10**15)]
Dollars = Annotated[Decimal, Ge(0), Le(10**9)]
Role = Literal["system", "user", "assistant"]


class RunStatus(StrEnum):
    """Where a run is in its life; the words are Replicate's where it has one."""

    QUEUED = "queued"
    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return not NEXT_STATUSES[self]


_ENDS = frozenset(
    {
        RunStatus.SUCCEEDED,
        RunStatus.FAILED,
        RunStatus.CANCELED,
        RunStatus.EXPIRED,
        RunStatus.INTERRUPTED,
    }
)
NEXT_STATUSES: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.STARTING}) | _ENDS,
    # What its provider wants to hear later, and has not heard, waits again.
    RunStatus.STARTING: frozenset({RunStatus.PROCESSING, RunStatus.QUEUED}) | _ENDS,
    # A run whose server died starts again, under its next attempt.
    RunStatus.PROCESSING: frozenset({RunStatus.STARTING}) | _ENDS,
} | {end: frozenset() for end in _ENDS}
UNFINISHED = frozenset(s for s, after in NEXT_STATUSES.items() if after)


class Scope(StrEnum):
    """What an API key may be used for."""

    PROMPT = "prompt"
    """Send prompts, follow their answers, and stop them."""
    HISTORY = "history"
    """Read the history."""
    DELETE = "delete"
    """Delete from the history."""
    KEYS = "keys"
    """Create API keys with no more rights than this one, and revoke any."""
    ADMIN = "admin"
    """Manage users, as long as the key's owner is an administrator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be used; `None` leaves it open. Days and months are UTC's."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    concurrent_runs: RunCount | None = None
    """How many prompts may be waiting or being answered at the same time."""
    tokens_per_day: Tokens | None = None
    """Of prompts and answers together."""
    tokens_per_month: Tokens | None = None
    dollars_per_day: Dollars | None = None
    """US dollars, as far as models' prices are known; others cannot be asked then."""
    dollars_per_month: Dollars | None = None

    def given(self) -> dict[str, Any]:
        """Return the ones that are set, by name."""
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A long-lived secret that lets a user's program in."""

    id: str
    name: str
    hint: str
    """The secret's last characters, to tell keys apart."""
    scopes: frozenset[Scope]
    models: frozenset[str] | None
    """The models it may ask, as `provider:model`; `None` for all."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """At most a minute old when the key is in use."""
    limits: Limits | None = None
    """How much may be used with it, within what its owner may."""


class UserRole(StrEnum):
    """What a user may do beyond their own affairs."""

    USER = "user"
    """Nothing."""
    ADMIN = "admin"
    """Manage users, and read what happened to accounts."""


@dataclass(frozen=True, slots=True)
class User:
    """A person or program with an account."""

    id: str
    username: str
    created_at: datetime
    disabled_at: datetime | None = None
    role: UserRole = UserRole.USER
    limits: Limits | None = None
    """What an administrator set for them; what that leaves open, the settings say."""
    api_key: ApiKey | None = None
    """What they came in with; `None` for a login, which may do everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who brings something about, and from where."""

    user: User | None = None
    """`None` for whoever is not logged in, or is on this computer's command line."""
    address: str | None = None
    user_agent: str | None = None
    """What the program says that it is."""


class AuditKind(StrEnum):
    """What can happen to accounts, and to what lets into them."""

    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGOUT = "logout"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - it is none
    RESET_ISSUED = "reset.issued"
    RESET_USED = "reset.used"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    USER_CREATED = "user.created"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_DELETED = "user.deleted"
    ROLE_CHANGED = "role.changed"
    LIMITS_CHANGED = "limits.changed"
    RETENTION_CHANGED = "retention.changed"
    RETENTION_APPLIED = "retention.applied"
    WEBHOOK_SECRET_ROTATED = "webhook-secret.rotated"  # noqa: S105 - it is none


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something that happened to an account; it outlives whom it is about."""

    id: str
    at: datetime
    kind: AuditKind
    user_id: str | None
    """Whose account it is; `None` for a login as nobody there is."""
    username: str | None
    actor_id: str | None
    """Who did it; `None` for whoever was not logged in."""
    actor_username: str | None
    api_key_id: str | None
    """The API key that it was done with."""
    detail: str | None
    """Which API key, which role."""
    address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """One utterance."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How a model is asked to answer; `None` leaves it to the provider."""

    max_tokens: int | None = None
    min_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_format: Mapping[str, Any] | None = None
    """The form of the text, as OpenAI's API writes it: JSON, or JSON of a schema."""

    def given(self) -> dict[str, Any]:
        """Return the ones that were set, by name."""
        return {
            name: value
            for name in self.__slots__
            if (value := getattr(self, name)) not in (None, ())
        }


@dataclass(frozen=True, slots=True)
class Usage:
    """What a completion took; `None` means that the provider did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    """US dollars, where the model's price is known."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars per million tokens."""

    input: Dollars
    output: Dollars

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return US dollars."""
        return (self.input * input_tokens + self.output * output_tokens) / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a run may take at most, set aside until it is known what it took."""

    quotas: tuple[str, ...]
    """The ids of the quotas that it was set aside from."""
    input_tokens: int
    output_tokens: int
    cost: Decimal


class NotificationEvent(StrEnum):
    """What may become of a run that somebody wants to hear of."""

    START = "start"
    """It was accepted."""
    END = "end"


class NotificationStatus(StrEnum):
    """How far a webhook is."""

    WAITING = "waiting"
    """For the run, or for its next try."""
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A webhook that is to be sent when something becomes of a run."""

    id: str
    """The same whenever it is sent; its receiver knows it by that."""
    event: NotificationEvent
    url: str
    host: str
    """Which of them are sent together, so that a dead host holds nobody else up."""
    form: str
    """Which door's words it is in."""
    origin: str | None = None
    """Where the client found this server, for the links in it."""
    status: NotificationStatus = NotificationStatus.WAITING
    tries: int = 0
    next_try_at: datetime | None = None
    """If its run is so far by then; `None` when nothing follows."""
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asks for: the one request object behind every door."""

    prompt: str
    model: str | None = None
    """`provider:model`, a bare model id, or `None` for the default model."""
    system_prompt: str | None = None
    inherits_system_prompt: bool = True
    """Whether, without one, that of the conversation goes on."""
    conversation_id: str | None = None
    previous_run_id: str | None = None
    """Go on behind this run, whatever else its conversation has."""
    earlier: Sequence[Message] = ()
    """What was said before the prompt and is in no run: a client brings it along."""
    parameters: Parameters = field(default_factory=Parameters)
    metadata: Mapping[str, str] = field(default_factory=dict)
    notifications: Sequence[Notification] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The durable record of one attempt to answer one prompt."""

    id: str
    user_id: str
    api_key_id: str | None = None
    """The API key that it was asked with."""
    status: RunStatus
    attempt: int
    """How often it was started; every write names it, so a stale one hits nothing."""
    provider: str
    model: str
    """As the provider calls it."""
    prompt: str
    created_at: datetime
    response: str = ""
    """The text so far; all of it when the status is `succeeded`."""
    common_length: int | None = None
    """
    How many characters are the same in every attempt's text.

    `None` while there was only one attempt. A client that read further than this in an
    earlier attempt has to be given the whole text again.
    """
    system_prompt: str | None = None
    conversation_id: str | None = None
    previous_run_id: str | None = None
    """The run it goes on behind; `None` means all that its conversation had."""
    earlier: Sequence[Message] = ()
    """What the client said to have been said right before the prompt."""
    parameters: Parameters = field(default_factory=Parameters)
    metadata: Mapping[str, str] = field(default_factory=dict)
    resolved_model: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    reservation: Reservation | None = None
    error_code: str | None = None
    error_detail: str | None = None
    cancel_requested: bool = False
    handle: str | None = None
    """What finds the answer again at its provider, which has accepted the prompt."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    notifications: Sequence[Notification] = ()
    """What comes with a new run; from then on they are kept apart."""


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_id_lock = threading.Lock()
_last_id = 0


def new_id(prefix: str, *, at: datetime | None = None) -> str:
    """
    Return a new id that sorts after every id this process made before.

    With `at`, it sorts by that moment instead, and at random within its millisecond.

    It is a ULID in lower case: 48 bits of milliseconds, then 80 random bits, which
    grow by one within the same millisecond (https://github.com/ulid/spec).
    """
    global _last_id  # noqa: PLW0603 - the sequence is the process's own
    now = time.time_ns() // 1_000_000 if at is None else int(at.timestamp() * 1000)
    value = now << 80 | secrets.randbits(80)
    if at is None:
        with _id_lock:
            if now <= _last_id >> 80:
                value = _last_id + 1
            _last_id = value
    return prefix + "".join(_ALPHABET[value >> s & 31] for s in range(125, -1, -5))


def utc_now() -> datetime:
    """Return the current time, with its zone."""
    return datetime.now(UTC)
