"""Creating predictions."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated

from fastapi import Header, Request, Response

from llamakeep.api.dependencies import IdempotencyHeader
from llamakeep.api.http.headers import single_header
from llamakeep.api.http.problems import ACCEPTING, problem_responses
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.api.replicate.access import PREFIX, Links, PromptingUser
from llamakeep.api.replicate.inputs import ModelPrediction, VersionPrediction
from llamakeep.api.replicate.names import find_model, find_version
from llamakeep.api.replicate.predictions import Prediction, prediction_response
from llamakeep.api.replicate.waiting import (
    cancel_later,
    parse_cancel_after,
    parse_prefer,
    wait,
)
from llamakeep.api.webhooks.outgoing import PREDICTION, wanted
from llamakeep.domain import NewRun, User
from llamakeep.errors import NoProvider, PathNotFound, UnknownModel
from llamakeep.providers.base import Provider
from llamakeep.services import services_of

Found = tuple[Provider, str]

router = Router(prefix=PREFIX, tags=["replicate"], queries=Queries.VENDORS)

Prefer = Annotated[
    str | None,
    Header(description="`wait` or `wait=n`: respond at its end, or after n seconds."),
]
CancelAfter = Annotated[
    str | None,
    Header(description="Cancel it if it has not ended by then: `90`, `5m`, `1h30m`."),
]

_responses = problem_responses(*ACCEPTING, NoProvider)


@router.post(
    "/models/{owner}/{name}/predictions",
    status_code=201,
    response_model=Prediction,
    responses=_responses | problem_responses(PathNotFound),
)
async def create_by_model(
    owner: str,
    name: str,
    body: ModelPrediction,
    request: Request,
    user: PromptingUser,
    prefer: Prefer = None,
    cancel_after: CancelAfter = None,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Create a prediction of a model; it continues if the connection is closed."""

    async def find() -> Found:
        said, registry = f"{owner}/{name}", services_of(request).registry
        try:
            return await _allowed(
                request, user, said, find_model(registry, owner, name)
            )
        except UnknownModel as error:
            raise PathNotFound(error.detail) from error

    return await _create(
        request, user, body, find, prefer, cancel_after, idempotency_key
    )


@router.post(
    "/predictions",
    status_code=201,
    response_model=Prediction,
    responses=_responses,
)
async def create_by_version(
    body: VersionPrediction,
    request: Request,
    user: PromptingUser,
    prefer: Prefer = None,
    cancel_after: CancelAfter = None,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Create a prediction of a version; it continues if the connection is closed."""

    async def find() -> Found:
        finding = find_version(services_of(request).registry, body.version)
        return await _allowed(request, user, body.version, finding)

    return await _create(
        request, user, body, find, prefer, cancel_after, idempotency_key
    )


async def _allowed(
    request: Request, user: User, said: str, finding: Awaitable[Found]
) -> Found:
    """
    Return a model that `user` may ask, and calls so.

    Raises:
        UnknownModel: There is none.
    """
    access = services_of(request).access
    with access.hiding(user, said):
        provider, model = await finding
    access.check(user, provider.name, model, said=said)
    return provider, model


async def _create(
    request: Request,
    user: User,
    body: ModelPrediction,
    find: Callable[[], Awaitable[Found]],
    prefer: str | None,
    cancel_after: str | None,
    idempotency_key: str | None,
) -> Response:
    for name in ("idempotency-key", "cancel-after"):
        single_header(request, name)
    seconds = parse_prefer(prefer)
    deadline = parse_cancel_after(cancel_after)
    links = Links.of(request)
    engine = services_of(request).engine

    async def asked() -> NewRun:
        provider, model = await find()
        asked = body.input.asked(f"{provider.name}:{model}")
        if body.webhook is None:
            return asked
        notifications = await wanted(
            request,
            user,
            body.webhook,
            body.notification_events(),
            form=PREDICTION,
            origin=links.origin,
        )
        return replace(asked, notifications=notifications)

    run = await engine.accept(
        user,
        asked,
        idempotency_key=await key_of(request, idempotency_key, body),
        is_followed=seconds is None,
    )
    if deadline is not None:
        cancel_later(engine, user, run, deadline)
    headers = {}
    if seconds is not None:
        run = await wait(engine, run, seconds)
        headers["Preference-Applied"] = f"wait={seconds}"
    prediction = Prediction.created(run, links, cancel_after=deadline)
    return prediction_response(prediction, 201, headers)
