"""Translation of OpenAI-compatible servers' errors."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple, Self

from llamakeep.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    LlamaKeepError,
    ModelNotFound,
    PromptRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.providers.http import message_of

_NOTHING_PAID = {401, 404, 429}
"""Refusals for which no server charges anything."""
_UNAVAILABLE = {502, 503, 520, 521, 522, 523, 525, 526, 527, 529, 530}
_NOT_THERE = {301, 302, 303, 307, 308, 404, 405}
_STATUSES: Mapping[str, int] = {
    "authentication_error": 401,
    "badrequesterror": 400,
    "bad_request": 400,
    "deadline_exceeded": 504,
    "insufficient_quota": 402,
    "invalid_api_key": 401,
    "invalid_argument": 400,
    "invalid_prompt": 400,
    "invalid_request": 400,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded": 503,
    "overloaded_error": 503,
    "rate_limit": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "ratelimiterror": 429,
    "resource_exhausted": 429,
    "server_overloaded": 503,
    "service_unavailable": 503,
    "timeout": 504,
    "timeout_error": 504,
    "too_many_requests": 429,
    "unavailable": 503,
}
"""What the words mean by which errors without a status are told apart."""
_CONTEXT_WORDS = {
    "context_length_exceeded",
    "context_window_exceeded",
    "contextwindowexceedederror",
    "exceed_context_size_error",
    "model_context_window_exceeded",
}
_FILTER_WORDS = {
    "content_filter",
    "content_policy_violation",
    "contentpolicyviolationerror",
    "prohibited_content",
    "responsibleaipolicyviolation",
}
_MODEL_WORDS = {
    "deploymentnotfound",
    "invalid_model",
    "model_not_exist",
    "model_not_found",
    "modelnotfound",
    "unknown_model",
}
_ABOUT_CONTEXT = re.compile(
    r"context (?:length|size|window)|(?:prompt|input|message)s? (?:is |are )?too long"
    r"|too many (?:input |prompt )?tokens|longer than the (?:maximum )?model"
    r"|tokens\) is too large to process",
    re.IGNORECASE,
)
_ABOUT_MODEL = re.compile(
    r"\bmodel\b.{0,200}(?:does not exist|not found|doesn't exist|is not served)"
    r"|(?:invalid|unknown|no such) model\b|not a valid model",
    re.IGNORECASE | re.DOTALL,
)
_UNKNOWN_NAME = re.compile(
    r"unsupported|not supported|unrecogni[sz]ed|unknown|unexpected|not permitted"
    r"|not allowed|extra_forbidden|\bextra (?:inputs|fields)|invalid parameter|instead",
    re.IGNORECASE,
)
_ABOUT_VALUE = re.compile(
    r"too (?:large|small|high|low|many)|at (?:most|least)|must be|less than"
    r"|greater than|exceed",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)
_PARAM = re.compile(r"[A-Za-z][\w.\[\]-]{0,99}", re.ASCII)


class SettingNames(NamedTuple):
    """What an operator has to set, as messages call it."""

    key: str = "LLAMAKEEP_OPENAI_API_KEY"
    base_url: str = "LLAMAKEEP_OPENAI_BASE_URL"
    models: str = "LLAMAKEEP_OPENAI_MODELS"


OF_VARIABLES = SettingNames()


@dataclass(frozen=True, slots=True)
class Reason:
    """What an error's body says."""

    message: str | None
    words: frozenset[str]
    """Its code, type and status, where they are words, in lower case."""
    code: str | None
    param: str | None
    status: int | None

    @classmethod
    def read(cls, body: Any, secret: str | None = None) -> Self:
        """Read a body of whatever shape."""
        error = body
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            error = body["error"]
        elif isinstance(body, list) and body and isinstance(body[0], dict):
            return cls.read(body[0], secret)
        message = message_of(body, secret)
        if not isinstance(error, dict):
            return cls(message, frozenset(), None, None, None)
        inner = error.get("innererror")
        said = [error.get(name) for name in ("code", "type", "status")]
        said.append(inner.get("code") if isinstance(inner, dict) else None)
        words = frozenset(
            each.lower()
            for each in said
            if isinstance(each, str) and _WORD.fullmatch(each)
        )
        names = ("status_code", "http_status", "status", "code")
        numbers = (_status(error.get(name)) for name in names)
        stated = next(filter(None, numbers), None)
        if stated is None:
            meant = (_STATUSES.get(word) for word in sorted(words))
            stated = next(filter(None, meant), None)
        code, param = error.get("code"), error.get("param")
        return cls(
            message,
            words,
            code if isinstance(code, str) and _WORD.fullmatch(code) else None,
            param if isinstance(param, str) and _PARAM.fullmatch(param) else None,
            stated,
        )


def _status(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch("[45][0-9]{2}", value):
        value = int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 400 <= value < 600 else None


def refusal(
    status: int,
    reason: Reason,
    *,
    who: str,
    model: str,
    what: str = "chat completions",
    retry_after: float | None = None,
    location: str | None = None,
    names: SettingNames = OF_VARIABLES,
    free: Collection[int] = (),
) -> LlamaKeepError:
    """
    Return the error that a response without an answer means.

    It was asked for `what`, and its body says `reason`; a redirect points to
    `location`. With the statuses in `free`, too, it charges nothing.
    """
    error = _refusal(
        status,
        reason,
        who=who,
        model=model,
        what=what,
        retry_after=retry_after,
        location=location,
        names=names,
    )
    error.nothing_paid = status in _NOTHING_PAID or status in free
    return error


def _refusal(
    status: int,
    reason: Reason,
    *,
    who: str,
    model: str,
    what: str,
    retry_after: float | None,
    location: str | None,
    names: SettingNames,
) -> LlamaKeepError:
    says = f": {reason.message}" if reason.message else "."
    error = _about_prompt(status, reason, who=who, model=model)
    if error is not None:
        return error
    match status:
        case 401 | 403:
            said = f" It said{says}" if reason.message else ""
            error = ProviderUnauthenticated(
                f"{who} does not accept this server's key ({status}). Its operator has "
                f"to set {names.key}.{said}"
            )
        case status if status in _NOT_THERE:
            where = message_of(location.partition("?")[0]) if location else None
            points = f" and points to {where}" if where else ""
            error = ProviderError(
                f"{who} has no {what} there ({status}){points}. Its operator "
                f"has to set {names.base_url} to the address that ends with `/v1`."
            )
        case 408 | 504 | 524:
            error = ProviderTimeout(f"{who} took too long ({status}){says}")
        case 402:
            error = ProviderError(
                f"{who} says that its account has no credit left{says}"
            )
        case 429 if "insufficient_quota" in reason.words:  # OpenAI's 402
            error = ProviderError(
                f"{who} says that its account has no credit left{says}"
            )
        case 429:
            error = ProviderRateLimited(
                f"{who} wants us to slow down{says}", retry_after=retry_after
            )
        case status if status in _UNAVAILABLE:
            error = ProviderUnavailable(
                f"{who} is not available ({status}){says}", retry_after=retry_after
            )
        case status if status < 300:
            error = ProviderError(f"{who} answered with nothing ({status}).")
        case _:
            error = ProviderError(f"{who} failed ({status}){says}")
    return error


def broken_off(
    reason: Reason, *, who: str, model: str, retry_after: float | None = None
) -> LlamaKeepError:
    """Return the error that came where an answer, or more of it, was to come."""
    says = f": {reason.message or 'it did not say why'}"
    error = _about_prompt(reason.status, reason, who=who, model=model)
    if error is not None:
        return error
    match reason.status:
        case 429 if "insufficient_quota" not in reason.words:
            error = ProviderRateLimited(
                f"{who} wants us to slow down{says}", retry_after=retry_after
            )
        case 408 | 504 | 524:
            error = ProviderTimeout(f"{who} took too long{says}")
        case status if status in _UNAVAILABLE:
            error = ProviderUnavailable(
                f"{who} broke off its answer{says}", retry_after=retry_after
            )
        case _:
            error = ProviderError(f"{who} broke off its answer{says}")
    return error


def is_about(status: int, reason: Reason, name: str) -> bool:
    """Return whether a prompt is refused because of a field, or for lack of it."""
    if status not in {400, 422}:
        return False
    return reason.param == name or bool(re.search(rf"\b{name}\b", reason.message or ""))


def refuses_name(status: int, reason: Reason, name: str) -> bool:
    """Return whether a parameter of that name, with whatever value, is refused."""
    if not is_about(status, reason, name):
        return False
    message = reason.message or ""
    said = " ".join([message, *reason.words])
    return bool(_UNKNOWN_NAME.search(said)) and not _ABOUT_VALUE.search(message)


def _about_prompt(
    status: int | None, reason: Reason, *, who: str, model: str
) -> LlamaKeepError | None:
    """Return the error that a refusal of this one prompt means, if it is one."""
    message = reason.message or ""
    says = f": {message}" if message else "."
    is_filtered = bool(reason.words & _FILTER_WORDS)
    if status in {401, 402, 408, 429} or (status == 403 and not is_filtered):
        return None
    rejected = f"{who} rejected the prompt{says}"
    is_rejection = status in {400, 413, 422}
    may_be = is_rejection or status in {None, 500}
    if reason.words & _CONTEXT_WORDS or (may_be and _ABOUT_CONTEXT.search(message)):
        return ContextLengthExceeded(rejected, param=reason.param)
    if is_filtered:
        return ContentFiltered(rejected, param=reason.param)
    if (
        reason.words & _MODEL_WORDS
        or ((is_rejection or status is None) and _ABOUT_MODEL.search(message))
        or (status == HTTPStatus.NOT_FOUND and "model" in message.lower())
    ):
        return ModelNotFound(f"{who} does not serve the model {model!r}{says}")
    if not is_rejection:
        return None
    return PromptRejected(rejected, param=reason.param, provider_code=reason.code)
