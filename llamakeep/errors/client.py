"""Errors that the client can fix."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Literal, Self

from llamakeep.errors.base import FieldError, LlamaKeepError


class ClientError(LlamaKeepError):
    """An error that the client can fix."""


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

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        """Return the error of one field; see `FieldError`."""
        return cls(errors=[FieldError(field, message)])


class MalformedBody(ClientError):
    """The body is not JSON. Nothing was stored."""

    status = HTTPStatus.BAD_REQUEST
    code = "malformed-body"
    title = "The body is not valid JSON."


class HeaderRepeated(ClientError):
    """Two headers say different things; the request was not carried out."""

    status = HTTPStatus.BAD_REQUEST
    code = "header-repeated"
    title = "A header was sent more than once."


class UnusableHeader(ClientError):
    """A proxy's header makes no sense; the request was not carried out."""

    status = HTTPStatus.BAD_REQUEST
    code = "unusable-header"
    title = "A proxy's header cannot be used."


class BodyTooLarge(ClientError):
    """The body is larger than `Settings.max_body_size`; it was not read."""

    status = (
        HTTPStatus.CONTENT_TOO_LARGE
        if hasattr(HTTPStatus, "CONTENT_TOO_LARGE")
        else HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    )
    code = "body-too-large"
    title = "The body is too large."


class ContextTooLarge(ClientError):
    """The prompt and what it follows are larger than `Settings.max_context_size`."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "context-too-large"
    title = "The prompt and what was said before it are too large."


class Unauthenticated(ClientError):
    """There is no valid access token in the request."""

    status = HTTPStatus.UNAUTHORIZED
    code = "unauthenticated"
    title = "Log in first."


class WrongCredentials(Unauthenticated):
    """Unknown user, wrong password or disabled account; not said which."""

    code = "wrong-credentials"
    title = "The username or the password is wrong."


class SetupRefused(Unauthenticated):
    """The set-up token is wrong, or users exist already."""

    code = "setup-refused"
    title = "This server cannot be set up with that."


class ResetRefused(Unauthenticated):
    """The reset token is wrong, used or expired; not said which."""

    code = "reset-refused"
    title = "The password cannot be reset with that."


class SignatureInvalid(ClientError):
    """The webhook's signature is missing, wrong or too old."""

    status = HTTPStatus.UNAUTHORIZED
    code = "signature-invalid"
    title = "The webhook's signature is not valid."


class TooManyAttempts(ClientError):
    """Too many failed logins for this account or from this address."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too-many-attempts"
    title = "Too many failed logins."


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """The limit that was reached, for programs."""

    name: str
    """`concurrent_runs`, `tokens_per_day`, …"""
    whose: Literal["user", "api_key", "server", "upstream", "alias"]
    limit: int | Decimal
    left: int | Decimal
    """Neither used nor reserved."""
    resets_at: datetime | None
    """When the count begins anew."""
    subject: str | None = None
    """Which upstream or alias."""


class LimitReached(ClientError):
    """A limit leaves less than the prompt may take. Nothing was stored."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        limit: LimitFacts | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.limit = limit
        super().__init__(detail, retry_after=retry_after)


class TooManyRuns(LimitReached):
    """The caller has as many unfinished prompts as allowed. Nothing was stored."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too-many-runs"
    title = "Too many of your prompts are being answered."


class QuotaExceeded(LimitReached):
    """The tokens or the money of a day or month are used up. Nothing was stored."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "quota-exceeded"
    title = "This prompt may take more than a limit leaves."


class PriceUnknown(ClientError):
    """A limit in dollars applies, and the price is not known. Nothing was stored."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "price-unknown"
    title = "The model's price is not known."


class RateLimited(ClientError):
    """An address, an API key or a user sent more requests than they may."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate-limited"
    title = "Too many requests."


class TooManyReaders(ClientError):
    """The user has as many open exports, streams and long answers as allowed."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too-many-readers"
    title = "Too many of your answers are not read to their end."


class TooManyWaiting(ClientError):
    """The user's part of the queue is full. Nothing was stored."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too-many-waiting"
    title = "Too many of your prompts are waiting."


class PathNotFound(ClientError):
    """There is nothing at the path, for any user."""

    status = HTTPStatus.NOT_FOUND
    code = "not-found"
    title = "There is nothing at this path."


class ScopeMissing(ClientError):
    """The API key does not have the scope."""

    status = HTTPStatus.FORBIDDEN
    code = "scope-missing"
    title = "This API key may not do that."


class ApiKeyNotFound(ClientError):
    """The API key does not exist, has expired, or belongs to another user."""

    status = HTTPStatus.NOT_FOUND
    code = "api-key-not-found"
    title = "There is no such API key."


class TooManyApiKeys(ClientError):
    """The user has as many API keys as there may be. Nothing was created."""

    status = HTTPStatus.CONFLICT
    code = "too-many-api-keys"
    title = "You have too many API keys."


class AdminOnly(ClientError):
    """The user is not an administrator."""

    status = HTTPStatus.FORBIDDEN
    code = "admin-only"
    title = "Only administrators may do this."


class UserNotFound(ClientError):
    """There is no such user; only administrators get this error."""

    status = HTTPStatus.NOT_FOUND
    code = "user-not-found"
    title = "There is no such user."


class LastAdmin(ClientError):
    """No administrator who can log in would be left. Nothing was changed."""

    status = HTTPStatus.CONFLICT
    code = "last-admin"
    title = "This is the last administrator."


class RunNotFound(ClientError):
    """The run does not exist, or belongs to another user."""

    status = HTTPStatus.NOT_FOUND
    code = "run-not-found"
    title = "There is no such run in your history."


class ImageNotFound(ClientError):
    """The run shows no such image, or belongs to another user."""

    status = HTTPStatus.NOT_FOUND
    code = "image-not-found"
    title = "There is no such image in that run."


class RunNotAnswered(ClientError):
    """The run has no answer (yet) that a prompt could follow."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "run-not-answered"
    title = "That run has no answer to go on from."


class TextNotKept(ClientError):
    """The run has ended, and its texts were not to be stored. They are erased."""

    status = HTTPStatus.GONE
    code = "text-not-kept"
    title = "The texts of this run were not to be stored."


class ConversationNotFound(ClientError):
    """The conversation does not exist, or belongs to another user."""

    status = HTTPStatus.NOT_FOUND
    code = "conversation-not-found"
    title = "There is no such conversation in your history."


class IdempotencyKeyReused(ClientError):
    """The same `Idempotency-Key` came with another request. Nothing was stored."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "idempotency-key-reused"
    title = "This Idempotency-Key was used for another request."


class VectorsNotKept(ClientError):
    """A repeated request for vectors, whose texts and usage alone were kept."""

    status = HTTPStatus.CONFLICT
    code = "vectors-not-kept"
    title = "The vectors were made already, and are not kept."


class UnknownModel(ClientError):
    """No configured provider serves the model. Nothing was stored."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "unknown-model"
    title = "There is no such model here."


class ModelNotFound(UnknownModel):
    """The provider was asked, and has no such model. The prompt is kept."""

    status = HTTPStatus.NOT_FOUND
    code = "model-not-found"
    title = "The model provider does not have this model."


class UnsupportedParameter(ClientError):
    """The model cannot honour a parameter; it was not asked."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "unsupported-parameter"
    title = "This model cannot honour a parameter of the request."

    def __init__(
        self,
        detail: str | None = None,
        *,
        parameters: Sequence[str] = (),
        needed: Collection[str] = (),
    ) -> None:
        self.parameters = tuple(parameters)
        self.needed = needed
        """Parameters and capabilities of another model, if one may be named."""
        super().__init__(detail)

    def name_another(self, model: str) -> None:
        """Say which model can; the detail ends with that there may be one."""
        self.detail = f"{self.detail.removesuffix('.')}, such as {model}."
        self.args = (self.detail,)


class PromptRejected(ClientError):
    """
    The provider read the prompt and refused it: too long, or not allowed.

    The parameter and the reason have the provider's own names.
    """

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "prompt-rejected"
    title = "The model provider rejected the prompt."

    def __init__(
        self,
        detail: str | None = None,
        *,
        param: str | None = None,
        provider_code: str | None = None,
    ) -> None:
        self.param = param
        self.provider_code = provider_code
        super().__init__(detail)


class ContextLengthExceeded(PromptRejected):
    """The prompt, with what was said before it, is longer than the model can read."""

    code = "context-length-exceeded"
    title = "The prompt is too long for the model."


class ContentFiltered(PromptRejected):
    """The provider's content filter refused the prompt."""

    code = "content-filter"
    title = "The model provider's content filter refused the prompt."


class RunCanceled(ClientError):
    """The run was canceled before it was done."""

    status = HTTPStatus.CONFLICT
    code = "run-canceled"
    title = "The run was canceled."
