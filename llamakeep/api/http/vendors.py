"""
What errors of OpenAI's and of Anthropic's API have in common.

The libraries of both retry on 408, 409, 429 and 5xx. A stored run may have been paid
for, so `x-should-retry` stops them.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from llamakeep import errors
from llamakeep.api.http.problems import ANSWERING
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.problem import Problem, urn

STATUSES = {
    urn(error.code): status
    for error, status in (
        (errors.InvalidRequest, HTTPStatus.BAD_REQUEST),
        (errors.UnsupportedParameter, HTTPStatus.BAD_REQUEST),
        (errors.PromptRejected, HTTPStatus.BAD_REQUEST),
        (errors.ContextLengthExceeded, HTTPStatus.BAD_REQUEST),
        (errors.ContentFiltered, HTTPStatus.BAD_REQUEST),
        (errors.ContextTooLarge, HTTPStatus.BAD_REQUEST),
        (errors.RunNotAnswered, HTTPStatus.BAD_REQUEST),
        (errors.UnknownModel, HTTPStatus.NOT_FOUND),
        (errors.TextNotKept, HTTPStatus.NOT_FOUND),
        (errors.ProviderRateLimited, HTTPStatus.TOO_MANY_REQUESTS),
    )
}
"""Errors for which both use another status code than this server's own API."""

PROMPT_ERRORS = (
    *ANSWERING,
    errors.ContextLengthExceeded,
    errors.ContentFiltered,
    errors.ProviderRateLimited,
)
"""The errors of routes that accept prompts."""

_UNKNOWN = urn(errors.OutcomeUnknown.code)
_UNPAID = urn(errors.ProviderRateLimited.code)
_USED_UP = urn(errors.QuotaExceeded.code)


def status_of(problem: Problem) -> int:
    """Return the status code of a problem."""
    return STATUSES.get(problem.type, problem.status)


def message_of(problem: Problem, prefix: str) -> str:
    """Return what a problem says, with the address of its run, if it has one."""
    if problem.run_id is None:
        return problem.detail
    return f"{problem.detail.rstrip('.')}. See {prefix}/history/{problem.run_id}."


def forbid_retry(problem: Problem, headers: dict[str, str]) -> None:
    """Add the header that stops libraries, unless a retry costs nothing."""
    is_kept = problem.run_id is not None and problem.type != _UNPAID
    if is_kept or problem.type in {_USED_UP, _UNKNOWN}:
        headers["x-should-retry"] = "false"


def responses_of(
    known: Iterable[type[errors.LlamaKeepError]], model: type[Body]
) -> dict[int | str, Any]:
    """Return the OpenAPI responses for errors whose body is a `model`."""
    titles: dict[int | str, list[str]] = {}
    for error in known:
        status = int(STATUSES.get(urn(error.code), error.status))
        titles.setdefault(status, []).append(error.title)
    return {
        status: {"model": model, "description": " ".join(said)}
        for status, said in titles.items()
    }
