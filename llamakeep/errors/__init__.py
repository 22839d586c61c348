"""
Errors that a client or an operator can fix.

LlamaKeepError
├── ClientError                 the client can fix it
│   ├── InvalidRequest          a field is wrong, missing or unknown
│   ├── MalformedBody           the body is not JSON
│   ├── HeaderRepeated          two headers say different things
│   ├── UnusableHeader          a proxy's header makes no sense
│   ├── BodyTooLarge
│   ├── ContextTooLarge         a prompt follows more than a model is given
│   ├── Unauthenticated         no valid access token
│   │   ├── WrongCredentials    no such user and password
│   │   ├── SetupRefused        no valid set-up token, or users exist
│   │   ├── ResetRefused        no valid reset token
│   │   ├── InvitationRefused   no valid invitation
│   │   ├── LoginCodeRefused    no valid code for a command line
│   │   └── SignInRefused       no valid answer of an identity provider
│   ├── OriginRefused           the login cookie, from another site's page
│   ├── LoginNotFound           no such login, or another user's
│   ├── SignatureInvalid        a webhook that is not signed as it has to be
│   ├── TooManyAttempts         too many failed logins
│   ├── RateLimited             more requests than may be sent
│   ├── TooManyReaders          exports and streams that are open, and not read
│   ├── TooManyWaiting          the user's part of the queue is full
│   ├── LimitReached            a limit leaves less than a prompt may take
│   │   ├── TooManyRuns         at the same time
│   │   └── QuotaExceeded       tokens or money, in a day or month
│   ├── PriceUnknown            a limit in money, and a model without a price
│   ├── ScopeMissing            the API key may not do this
│   ├── ApiKeyNotFound          no such API key, or another user's
│   ├── TooManyApiKeys          the user has as many as there may be
│   ├── AdminOnly               only administrators may do this
│   ├── UserNotFound            no such user; for administrators
│   ├── InvitationNotFound      no such invitation; for administrators
│   ├── LastAdmin               no other administrator can log in
│   ├── WrongKindOfUser         a service account, or none
│   ├── PathNotFound            there is nothing at this path
│   ├── RunNotFound             no such run, or another user's
│   ├── ImageNotFound           the run shows no such image
│   ├── RunNotAnswered          it has no answer that anything could follow
│   ├── TextNotKept             it was not to be stored, and is erased
│   ├── ConversationNotFound    no such conversation, or another user's
│   ├── IdempotencyKeyReused    same key, other request
│   ├── VectorsNotKept          same key, same request, made before
│   ├── UnknownModel            no provider serves it
│   │   └── ModelNotFound       its provider says that there is none
│   ├── UnsupportedParameter    this model cannot honour it
│   ├── PromptRejected          the provider read the prompt and refused it
│   │   ├── ContextLengthExceeded  it is too long for the model
│   │   └── ContentFiltered     a content filter refused it
│   └── RunCanceled             the run was canceled before it was done
├── ProviderError               the provider's fault
│   ├── ProviderUnavailable     down, unreachable, or broken off
│   ├── ProviderTimeout         too slow
│   ├── ProviderRateLimited     it wants us to wait
│   ├── ProviderUnauthenticated it does not accept our credentials
│   ├── ProviderOutOfCredit     our account there has no money left
│   ├── AnswerExpired           it has erased the answer
│   └── ProviderAnswerInvalid   it said something we cannot read
└── ServerError                 this installation's fault
    ├── NoProvider              nothing is configured that could answer
    ├── ServerBusy              the queue is full
    ├── SignInUnavailable       the identity provider does not answer
    ├── CountsUnavailable       logins cannot be counted for all servers
    ├── ServerStopping          shutting down
    ├── RunInterrupted          the server stopped while the run was unfinished
    ├── RunFailed               a bug of ours ended the run
    ├── StorageUnavailable      the database refuses to keep more
    │   └── OutcomeUnknown      it broke off while it committed
    ├── DatabaseMissing         there is none yet
    ├── DatabaseInUse           another process owns the database
    ├── OneProcessOnly          more workers were asked for than there can be
    ├── NodeAddressUnusable     other nodes cannot be listened for there
    ├── WorkerFailed            a worker ended before it could serve
    └── DatabaseOutdated        its tables are not this version's

A plain bug is none of these: it is a 500 and a traceback in the log.
"""

from llamakeep.errors.base import (
    UNREAD,
    FieldError,
    LlamaKeepError,
    walk,
)
from llamakeep.errors.client import (
    AdminOnly,
    ApiKeyNotFound,
    BodyTooLarge,
    ClientError,
    ContentFiltered,
    ContextLengthExceeded,
    ContextTooLarge,
    ConversationNotFound,
    HeaderRepeated,
    IdempotencyKeyReused,
    ImageNotFound,
    InvalidRequest,
    LastAdmin,
    LimitFacts,
    LimitReached,
    MalformedBody,
    ModelNotFound,
    PathNotFound,
    PriceUnknown,
    PromptRejected,
    QuotaExceeded,
    RateLimited,
    ResetRefused,
    RunCanceled,
    RunNotAnswered,
    RunNotFound,
    ScopeMissing,
    SetupRefused,
    SignatureInvalid,
    TextNotKept,
    TooManyApiKeys,
    TooManyAttempts,
    TooManyReaders,
    TooManyRuns,
    TooManyWaiting,
    Unauthenticated,
    UnknownModel,
    UnsupportedParameter,
    UnusableHeader,
    UserNotFound,
    VectorsNotKept,
    WrongCredentials,
)
from llamakeep.errors.logins import (
    InvitationNotFound,
    InvitationRefused,
    LoginCodeRefused,
    LoginNotFound,
    OriginRefused,
    SignInRefused,
    SignInUnavailable,
    WrongKindOfUser,
)
from llamakeep.errors.provider import (
    AnswerExpired,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.errors.server import (
    CountsUnavailable,
    DatabaseInUse,
    DatabaseMissing,
    DatabaseOutdated,
    NodeAddressUnusable,
    NoProvider,
    OneProcessOnly,
    OutcomeUnknown,
    RunFailed,
    RunInterrupted,
    ServerBusy,
    ServerError,
    ServerStopping,
    StorageUnavailable,
    WorkerFailed,
)

__all__ = [
    "UNREAD",
    "AdminOnly",
    "AnswerExpired",
    "ApiKeyNotFound",
    "BodyTooLarge",
    "ClientError",
    "ContentFiltered",
    "ContextLengthExceeded",
    "ContextTooLarge",
    "ConversationNotFound",
    "CountsUnavailable",
    "DatabaseInUse",
    "DatabaseMissing",
    "DatabaseOutdated",
    "FieldError",
    "HeaderRepeated",
    "IdempotencyKeyReused",
    "ImageNotFound",
    "InvalidRequest",
    "InvitationNotFound",
    "InvitationRefused",
    "LastAdmin",
    "LimitFacts",
    "LimitReached",
    "LlamaKeepError",
    "LoginCodeRefused",
    "LoginNotFound",
    "MalformedBody",
    "ModelNotFound",
    "NoProvider",
    "NodeAddressUnusable",
    "OneProcessOnly",
    "OriginRefused",
    "OutcomeUnknown",
    "PathNotFound",
    "PriceUnknown",
    "PromptRejected",
    "ProviderAnswerInvalid",
    "ProviderError",
    "ProviderOutOfCredit",
    "ProviderRateLimited",
    "ProviderTimeout",
    "ProviderUnauthenticated",
    "ProviderUnavailable",
    "QuotaExceeded",
    "RateLimited",
    "ResetRefused",
    "RunCanceled",
    "RunFailed",
    "RunInterrupted",
    "RunNotAnswered",
    "RunNotFound",
    "ScopeMissing",
    "ServerBusy",
    "ServerError",
    "ServerStopping",
    "SetupRefused",
    "SignInRefused",
    "SignInUnavailable",
    "SignatureInvalid",
    "StorageUnavailable",
    "TextNotKept",
    "TooManyApiKeys",
    "TooManyAttempts",
    "TooManyReaders",
    "TooManyRuns",
    "TooManyWaiting",
    "Unauthenticated",
    "UnknownModel",
    "UnsupportedParameter",
    "UnusableHeader",
    "UserNotFound",
    "VectorsNotKept",
    "WorkerFailed",
    "WrongCredentials",
    "WrongKindOfUser",
    "from_code",
    "walk",
]


def from_code(code: str | None, detail: str | None) -> LlamaKeepError:
    """Return the error that was stored as `code` and `detail`."""
    by_code = {error.code: error for error in walk()}
    return by_code.get(code or "", ProviderError)(detail)
