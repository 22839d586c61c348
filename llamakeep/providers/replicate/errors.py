"""What Replicate's refusals and failed predictions mean."""

import re
from typing import Any

from llamakeep.errors import (
    AnswerExpired,
    ContentFiltered,
    ContextLengthExceeded,
    LlamaKeepError,
    ModelNotFound,
    PromptRejected,
    ProviderError,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.providers.http import message_of
from llamakeep.providers.replicate.predictions import Prediction

HOW_TO_AUTHENTICATE = (
    "Its operator has to set REPLICATE_API_TOKEN to a token from "
    "https://replicate.com/account/api-tokens, and to start the server again."
)
_RESETS_IN = re.compile(r"(?:~|available in )(\d{1,6}(?:\.\d{1,9})?) ?s")
_DIGITS = re.compile(r"[0-9]{1,9}")
_MAX_RETRY_AFTER = 24 * 3600.0
_UNREASONABLE = 1e12
_CODE = re.compile(r"\(?(?:code: )?\b(E\d{3,5}|PA)\b\)?")


def refusal(
    status: int,
    body: Any,
    *,
    model: str | None = None,
    retry_after: float | None = None,
) -> LlamaKeepError:
    """Return the error that a response with another status than 2xx means."""
    message = _invalid_fields(body) or message_of(body)
    says = f": {message}" if message else "."
    error: LlamaKeepError
    match status:
        case 422 if model is not None and _says_no_version(body):
            error = _no_model(model)
        case 400 | 413 | 422:
            error = PromptRejected(f"Replicate rejected the prompt{says}")
        case 401 | 403:
            error = ProviderUnauthenticated(
                "Replicate does not accept this server's API token "
                f"({status}). {HOW_TO_AUTHENTICATE}"
            )
        case 402:
            error = ProviderOutOfCredit(
                "The Replicate account of this server has no credit left. Its operator "
                "buys some at https://replicate.com/account/billing#billing; it counts "
                "a few minutes later."
            )
        case 404 if model is not None:
            error = _no_model(model)
        case 404:
            error = AnswerExpired(
                "Replicate does not know the prediction any more; the text that had "
                "arrived is kept."
            )
        case 408 | 504:
            error = ProviderTimeout(f"Replicate took too long ({status}).")
        case 429:
            error = ProviderRateLimited(
                f"Replicate wants us to slow down{says}", retry_after=retry_after
            )
        case status if status >= 500:
            error = ProviderUnavailable(
                f"Replicate is not available ({status}).", retry_after=retry_after
            )
        case _:
            error = ProviderError(f"Replicate failed ({status}).")
    return error


def seconds_to_wait(
    body: Any, *, stated: float | None, reset: str | None
) -> float | None:
    """
    Return the seconds to wait that a 429 names, wherever it does.

    A number in the body or in `Retry-After` is `stated`; the body may use words.
    """
    seconds = _seconds(body.get("retry_after")) if isinstance(body, dict) else None
    if seconds is None:
        seconds = stated
    if seconds is None and reset is not None and _DIGITS.fullmatch(reset):
        seconds = float(reset)
    if seconds is None and (found := _RESETS_IN.search(message_of(body) or "")):
        seconds = float(found[1])
    return None if seconds is None else min(seconds, _MAX_RETRY_AFTER)


def _seconds(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _UNREASONABLE else None


def failure(prediction: Prediction) -> LlamaKeepError:
    """Return the error that the end of `prediction` means, which is no success."""
    if prediction.status == "aborted":
        return ProviderTimeout(
            "Replicate did not start the prediction before its deadline. Nothing was "
            "paid for it; send the prompt again."
        )
    if prediction.status == "canceled":
        return ProviderError(
            "The prediction was canceled at Replicate, by its deadline or by a user "
            "there; the text so far is kept."
        )
    reason = message_of(prediction.error) or "it did not say why"
    if "PromptTooLong" in reason:
        return ContextLengthExceeded(f"The prompt is too long for the model: {reason}")
    if "E005" in reason or "flagged as sensitive" in reason:
        return ContentFiltered(f"The prompt or the answer was filtered: {reason}")
    if "PromptRequired" in reason:  # by name: codes overlap with the platform's
        return PromptRejected(f"The model rejected the prompt: {reason}")
    code = _CODE.search(reason)
    return ProviderError(
        f"The prediction failed at Replicate{f' ({code[1]})' if code else ''}: {reason}"
    )


def hit_the_limit(prediction: Prediction) -> bool:
    """
    Return whether it failed only because it said as much as it was allowed to.

    Some builds of the containers behind the official models report that as a prompt
    that is too long, after they have streamed the answer.
    """
    return (
        prediction.status == "failed"
        and bool(prediction.text)
        and "PromptTooLong" in (prediction.error or "")
    )


def _no_model(model: str) -> ModelNotFound:
    return ModelNotFound(
        f"Replicate has no model {model!r} that can be run so. Official models "
        "are called `owner/name`; all others need their version: "
        "`owner/name:version`."
    )


def _says_no_version(body: Any) -> bool:
    title = body.get("title") if isinstance(body, dict) else None
    return title == "Invalid version or not permitted"


def _invalid_fields(body: Any) -> str | None:
    fields = body.get("invalid_fields") if isinstance(body, dict) else None
    if not isinstance(fields, list):
        return None
    said = [
        f"{field.get('field') or 'input'}: {field.get('description')}"
        for field in fields
        if isinstance(field, dict)
    ]
    return message_of("; ".join(said))
