"""What every request of Replicate's API goes through before it is answered."""

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import ValidationError
from starlette.responses import Response

from replicate_emulator.core import Emulator
from replicate_emulator.predictions import Prediction
from replicate_emulator.routes.front import garble
from replicate_emulator.routes.problems import (
    Problem,
    not_found,
    refusal,
    unauthenticated,
)
from replicate_emulator.rules import NO_RULE, RequestKind, Rule

RULE_HEADER = "x-emulator-rule"
Found = TypeVar("Found")


class Dropped(Exception):
    """The client shall not get an answer."""


def the_emulator(request: Request) -> Emulator:
    """Return the emulator that the application was made for."""
    emulator: Emulator = request.app.state.emulator
    return emulator


EmulatorDep = Annotated[Emulator, Depends(the_emulator)]


def reply(
    body: Any, headers: Mapping[str, str] | None = None, status: int = 200
) -> Response:
    """Return `body` as JSON."""
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status, headers, media_type="application/json")


def admit(
    emulator: Emulator,
    request: Request,
    kind: RequestKind,
    prediction: Prediction | None = None,
) -> dict[str, str]:
    """
    Count a request, and see whether its sender may send it.

    Args:
        emulator: Who counts.
        request: What came.
        kind: What it is counted as.
        prediction: What it is about, if that exists.

    Returns:
        Headers for the response.

    Raises:
        Problem: 401 or 429.
    """
    emulator.requests[kind] += 1
    if prediction is not None:
        prediction.requests[kind] += 1
    if kind == "stream":
        return {}  # the address is the credential, and it is another server's
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    expected = emulator.settings.api_token
    is_known = bool(credentials) and expected in {None, credentials}
    if scheme.lower() not in {"bearer", "token"} or not is_known:
        raise unauthenticated()
    return emulator.limits.admit(kind)


def rule_for(
    emulator: Emulator, request: Request, kind: RequestKind, prompt: str = ""
) -> Rule:
    """
    Return the rule for a request: the one in its own header, or one that waits for it.

    Raises:
        Problem: 400; the header is not a rule.
    """
    own = request.headers.get(RULE_HEADER)
    if own is None:
        rule = emulator.rules.take(kind, prompt)
    else:
        try:
            rule = Rule.model_validate_json(own)
        except ValidationError as error:
            raise Problem(400, f"{RULE_HEADER}: {error}") from error
        if rule.on != kind:
            rule = NO_RULE
    garble(request, rule.garbled)
    return rule


async def obey(emulator: Emulator, rule: Rule) -> None:
    """
    Wait, refuse or drop, if `rule` says so.

    Raises:
        Problem: The request is refused.
        Dropped: It shall not be answered.
    """
    if rule.delay:
        await asyncio.sleep(rule.delay)
    if rule.status is not None:
        raise refusal(
            rule.status,
            html=rule.html,
            retry_after=rule.retry_after,
            with_header=emulator.settings.retry_after_header,
        )
    if rule.drop and rule.on != "stream":
        raise Dropped


async def enter(
    emulator: Emulator,
    request: Request,
    kind: RequestKind,
    prediction: Prediction | None = None,
) -> dict[str, str]:
    """
    Admit a request that creates nothing, and obey the rule for it.

    Raises:
        Problem: The request is refused.
        Dropped: It shall not be answered.
    """
    headers = admit(emulator, request, kind, prediction)
    prompt = prediction.prompt if prediction else ""
    await obey(emulator, rule_for(emulator, request, kind, prompt))
    return headers


def existing(found: Found | None) -> Found:
    """
    Return what was found.

    Raises:
        Problem: 404; that was nothing.
    """
    if found is None:
        raise not_found()
    return found
