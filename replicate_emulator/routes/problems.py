"""Replicate's error answers, as they were recorded."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from starlette.responses import Response

_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>\n"


class InvalidField(TypedDict):
    """One thing wrong with a request, in the words of Go's gojsonschema."""

    type: str
    field: str
    description: str


class Problem(Exception):
    """
    A request that is refused.

    Args:
        status: The HTTP status.
        detail: What happened.
        title: The kind of problem, where Replicate names it.
        headers: More response headers.
        more: More members of the body.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.body: dict[str, Any] = {"title": title} if title else {}
        self.body |= {"detail": detail, "status": status, **(more or {})}

    def response(self) -> Response:
        """Return the answer to send."""
        return Response(
            # Go's encoder ends with a newline, and a recorded 429 shows it.
            json.dumps(self.body) + "\n",
            self.status,
            self.headers,
            media_type="application/problem+json",
        )


class HtmlProblem(Problem):
    """A refusal by a server in front, which does not speak JSON."""

    def response(self) -> Response:
        """Return the answer to send."""
        page = _HTML.format(f"{self.status} {self}")
        return Response(page, self.status, self.headers, media_type="text/html")


def malformed(reason: str) -> Problem:
    """Return what Go's JSON decoder makes of a body."""
    return Problem(400, f"Failed to parse request body as JSON: {reason}")


def unauthenticated() -> Problem:
    """Return the answer to a missing or unknown API token."""
    return Problem(
        401, "You did not pass a valid authentication token", title="Unauthenticated"
    )


def insufficient_credit() -> Problem:
    """Return the answer to an account that has run out of money."""
    return Problem(
        402,
        "You have insufficient credit to run this model. Go to "
        "https://replicate.com/account/billing#billing to purchase credit. Once you "
        "purchase credit, please wait a few minutes before trying again.",
        title="Insufficient credit",
    )


def not_found() -> Problem:
    """Return the answer to anything that does not exist."""
    return Problem(404, "The requested resource could not be found.")


def invalid_version() -> Problem:
    """Return the answer to a create with an unknown version."""
    return Problem(
        422,
        "The specified version does not exist (or perhaps you don't have permission to "
        "use it?)",
        title="Invalid version or not permitted",
    )


def invalid_fields(fields: Sequence[InvalidField]) -> Problem:
    """Return the answer to a body that is not what the schema says."""
    return Problem(
        422,
        "".join(f"- {each['field']}: {each['description']}\n" for each in fields),
        title="Input validation failed",
        more={"invalid_fields": fields},
    )


def throttled(
    seconds: float, *, low_credit: bool = False, with_header: bool = False
) -> Problem:
    """Return the answer to a client that is too fast."""
    wait = max(1, round(seconds))
    why = (
        " for creating predictions is reduced to 6 requests per minute with a burst of "
        "1 requests while you have less than $5.0 in credit. Your rate limit"
        if low_credit
        else ""
    )
    return Problem(
        429,
        f"Request was throttled. Your rate limit{why} resets in ~{wait}s.",
        headers={"ratelimit-remaining": "0", "ratelimit-reset": str(wait)}
        | ({"retry-after": str(wait)} if with_header else {}),
        more={"retry_after": wait},
    )


def refusal(
    status: int, *, html: bool, retry_after: float, with_header: bool
) -> Problem:
    """Return what Replicate answers with `status`."""
    if html:
        return HtmlProblem(status, "the emulator was asked for this")
    match status:
        case 401:
            return unauthenticated()
        case 402:
            return insufficient_credit()
        case 404:
            return not_found()
        case 429:
            return throttled(retry_after, with_header=with_header)
        case _:
            return Problem(status, "The emulator was asked for this.")
