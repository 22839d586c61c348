"""
Everything that can go wrong in a way somebody outside can mend.

LlamaKeepError
├── ClientError                 the caller can mend it
│   ├── InvalidRequest          a field is wrong, missing or unknown
│   ├── MalformedBody           the body is not JSON
│   ├── BodyTooLarge
│   ├── Unauthenticated         no valid access token
│   │   ├── WrongCredentials    no such user and password
│   │   ├── SetupRefused        no valid set-up token, or somebody was faster
│   │   └── ResetRefused        no valid reset token
│   ├── SignatureInvalid        a webhook that is not signed as it has to be
│   ├── TooManyAttempts         too many failed logins
│   ├── ScopeMissing            the API key may not do this
│   ├── ApiKeyNotFound          no such API key, or somebody else's
│   ├── TooManyApiKeys          the user has as many as there may be
│   ├── AdminOnly               only administrators may do this
│   ├── UserNotFound            no such user, as an administrator is told
│   ├── LastAdmin               nobody else could manage users
│   ├── PathNotFound            there is nothing at this path
│   ├── RunNotFound             no such run, or somebody else's
│   ├── RunNotAnswered          it has no answer that anything could follow
│   ├── ConversationNotFound    no such conversation, or somebody else's
│   ├── IdempotencyKeyReused    same key, other request
│   ├── UnknownModel            no provider serves it
│   ├── UnsupportedParameter    this model cannot honour it
│   ├── PromptRejected          the provider read the prompt and refused it
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
    ├── ServerStopping          shutting down
    ├── RunInterrupted          the server stopped while the run was going on
    ├── RunFailed               a bug of ours ended the run
    ├── StorageUnavailable      the database refuses to keep more
    ├── DatabaseMissing         there is none yet
    ├── DatabaseInUse           another process owns the database
    └── DatabaseOutdated        its tables are not this version's

A plain bug is none of these: it is a 500 and a traceback in the log.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar


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


class ClientError(LlamaKeepError):
    """The caller can mend it."""


class InvalidRequest(ClientError):
    """A field is wrong, missing or unknown. Nothing was stored."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "invalid-request"
    title = "The request is not valid."

    def __init__(
        self, detail: str | None = None, *, errors: Sequence[FieldError] = ()
    ) -> None:
        self.errors = tuple(errors)
        if detail is None and self.errors:
            detail = " ".join(f"{e.field}: {e.message}" for e in self.errors)
        super().__init__(detail)


class MalformedBody(ClientError):
    """The body is not JSON. Nothing was stored."""

    status = HTTPStatus.BAD_REQUEST
    code = "malformed-body"
    title = "The body is not valid JSON."


class BodyTooLarge(ClientError):
    """The body is larger than `Settings.max_body_size`. Nothing was stored."""

    status = (
        HTTPStatus.CONTENT_TOO_LARGE
        if hasattr(HTTPStatus, "CONTENT_TOO_LARGE")
        else HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    )
    code = "body-too-large"
    title = "The body is too large."


class Unauthenticated(ClientError):
    """There is no valid access token in the request."""

    status = HTTPStatus.UNAUTHORIZED
    code = "unauthenticated"
    title = "Log in first."


class WrongCredentials(Unauthenticated):
    """Unknown user, wrong password or disabled account: nobody is told which."""

    code = "wrong-credentials"
    title = "The username or the password is wrong."


class SetupRefused(Unauthenticated):
    """The set-up token is not this server's, or there are users already."""

    code = "setup-refused"
    title = "This server cannot be set up with that."


class ResetRefused(Unauthenticated):
    """The reset token is wrong, used or too old: nobody is told which."""

    code = "reset-refused"
    title = "The password cannot be reset with that."


class SignatureInvalid(ClientError):
    """The webhook is not signed, or not by whom it says, or not just now."""

    status = HTTPStatus.UNAUTHORIZED
    code = "signature-invalid"
    title = "The webhook's signature is not valid."


class TooManyAttempts(ClientError):
    """Too many failed logins for this account or from this address."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too-many-attempts"
    title = "Too many failed logins."


class PathNotFound(ClientError):
    """There is nothing at the path, also not for anybody else."""

    status = HTTPStatus.NOT_FOUND
    code = "not-found"
    title = "There is nothing at this path."


class ScopeMissing(ClientError):
    """The API key was not made for this."""

    status = HTTPStatus.FORBIDDEN
    code = "scope-missing"
    title = "This API key may not do that."


class ApiKeyNotFound(ClientError):
    """The API key does not exist, has expired, or belongs to somebody else."""

    status = HTTPStatus.NOT_FOUND
    code = "api-key-not-found"
    title = "There is no such API key."


class TooManyApiKeys(ClientError):
    """The user has as many API keys as there may be. Nothing was created."""

    status = HTTPStatus.CONFLICT
    code = "too-many-api-keys"
    title = "You have too many API keys."


class AdminOnly(ClientError):
    """The user is no administrator, or not any more."""

    status = HTTPStatus.FORBIDDEN
    code = "admin-only"
    title = "Only administrators may do this."


class UserNotFound(ClientError):
    """There is no such user; only administrators are told that."""

    status = HTTPStatus.NOT_FOUND
    code = "user-not-found"
    title = "There is no such user."


class LastAdmin(ClientError):
    """Nobody would be left who can manage users. Nothing was changed."""

    status = HTTPStatus.CONFLICT
    code = "last-admin"
    title = "This is the last administrator."


class RunNotFound(ClientError):
    """The run does not exist, or belongs to somebody else."""

    status = HTTPStatus.NOT_FOUND
    code = "run-not-found"
    title = "There is no such run in your history."


class RunNotAnswered(ClientError):
    """The run has no whole answer (yet) that a prompt could follow."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "run-not-answered"
    title = "That run has no answer to go on from."


class ConversationNotFound(ClientError):
    """The conversation does not exist, or belongs to somebody else."""

    status = HTTPStatus.NOT_FOUND
    code = "conversation-not-found"
    title = "There is no such conversation in your history."


class IdempotencyKeyReused(ClientError):
    """The same `Idempotency-Key` came with another request. Nothing was stored."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "idempotency-key-reused"
    title = "This Idempotency-Key was used for another request."


class UnknownModel(ClientError):
    """No configured provider serves the model. Nothing was stored."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "unknown-model"
    title = "There is no such model here."


class UnsupportedParameter(ClientError):
    """The model cannot honour a parameter; it was not asked."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "unsupported-parameter"
    title = "This model cannot honour a parameter of the request."

    def __init__(
        self, detail: str | None = None, *, parameters: Sequence[str] = ()
    ) -> None:
        self.parameters = tuple(parameters)
        super().__init__(detail)


class PromptRejected(ClientError):
    """The provider read the prompt and refused it: too long, or not allowed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "prompt-rejected"
    title = "The model provider rejected the prompt."


class RunCanceled(ClientError):
    """The run was canceled before it was done."""

    status = HTTPStatus.CONFLICT
    code = "run-canceled"
    title = "The run was canceled."


class ProviderError(LlamaKeepError):
    """The provider failed in a way that has no name of its own."""

    status = HTTPStatus.BAD_GATEWAY
    code = "provider-error"
    title = "The model provider failed."

    answer_may_exist: bool = False
    """
    Whether the provider may be answering all the same, so that asking it again could
    mean paying twice: `ReattachableProvider.find`, or `resume`, tells.
    """


class ProviderUnavailable(ProviderError):
    """The provider is down, cannot be reached, or broke off its answer."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "provider-unavailable"
    title = "The model provider cannot be reached."


class ProviderTimeout(ProviderError):
    """The provider was silent, or not done, for longer than the settings allow."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "provider-timeout"
    title = "The model provider took too long."


class ProviderRateLimited(ProviderError):
    """The provider answered 429."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "provider-rate-limited"
    title = "The model provider wants us to slow down."


class ProviderUnauthenticated(ProviderError):
    """The provider does not accept the credentials in the settings."""

    code = "provider-unauthenticated"
    title = "The model provider does not accept this server's credentials."


class ProviderOutOfCredit(ProviderError):
    """The account that pays for the prompts has no money left."""

    code = "provider-out-of-credit"
    title = "This server's account with the model provider has no credit left."


class AnswerExpired(ProviderError):
    """The provider has erased the answer; the text that had arrived is kept."""

    status = HTTPStatus.GONE
    code = "answer-expired"
    title = "The model provider has erased the answer."


class ProviderAnswerInvalid(ProviderError):
    """The provider's answer cannot be read."""

    code = "provider-answer-invalid"
    title = "The model provider's answer cannot be read."


class ServerError(LlamaKeepError):
    """This installation's fault: its operator can mend it."""


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


class ServerStopping(ServerError):
    """The server is shutting down. Nothing was stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "server-stopping"
    title = "The server is shutting down."


class RunInterrupted(ServerError):
    """The server stopped while the run was going on; the text so far is kept."""

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


class DatabaseOutdated(ServerError):
    """The tables are not the ones this version works with."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "database-outdated"
    title = "The database has to be migrated first."


def from_code(code: str | None, detail: str | None) -> LlamaKeepError:
    """Return the error that was stored as `code` and `detail`."""
    by_code = {error.code: error for error in walk()}
    return by_code.get(code or "", ProviderError)(detail)


def walk(base: type[LlamaKeepError] = LlamaKeepError) -> Iterator[type[LlamaKeepError]]:
    """Yield every class of the tree that can occur, parents first."""
    for child in base.__subclasses__():
        if hasattr(child, "code"):
            yield child
        yield from walk(child)
