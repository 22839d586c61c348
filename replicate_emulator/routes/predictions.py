"""Replicate's `/predictions`, and the streams they say their words on."""

import asyncio
from contextlib import suppress
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from replicate_emulator.catalogue import Target
from replicate_emulator.core import Emulator
from replicate_emulator.predictions import Prediction, prompt_in
from replicate_emulator.routes.entry import (
    EmulatorDep,
    admit,
    enter,
    existing,
    obey,
    reply,
    rule_for,
)
from replicate_emulator.routes.listing import page, parse_time
from replicate_emulator.routes.problems import invalid_version
from replicate_emulator.routes.rendering import (
    rendered,
    rendered_after_waiting,
    rendered_at_creation,
)
from replicate_emulator.routes.validation import (
    CreateBody,
    check_input,
    parse_cancel_after,
    parse_create,
    parse_prefer,
)
from replicate_emulator.streams import EventStream

router = APIRouter(include_in_schema=False)


@router.post("/predictions")
async def create_by_version(emulator: EmulatorDep, request: Request) -> Response:
    """Create a prediction with any of the three spellings of a version."""
    headers = admit(emulator, request, "create")
    body = parse_create(await request.body(), has_version=True)
    target = emulator.catalogue.find_version(body.version)
    if target is None:
        raise invalid_version()
    return await _create(emulator, request, target, body, headers=headers)


@router.post("/models/{owner}/{name}/predictions")
async def create_by_model(
    emulator: EmulatorDep, request: Request, owner: str, name: str
) -> Response:
    """Create a prediction with an official model."""
    headers = admit(emulator, request, "create")
    target = existing(emulator.catalogue.find_official(f"{owner}/{name}"))
    body = parse_create(await request.body(), has_version=False)
    return await _create(emulator, request, target, body, headers=headers)


@router.post("/deployments/{owner}/{name}/predictions")
async def create_by_deployment(
    emulator: EmulatorDep, request: Request, owner: str, name: str
) -> Response:
    """Create a prediction with a deployment."""
    headers = admit(emulator, request, "create")
    target = existing(emulator.catalogue.find_deployment(f"{owner}/{name}"))
    body = parse_create(await request.body(), has_version=False)
    return await _create(emulator, request, target, body, headers=headers)


async def _create(
    emulator: Emulator,
    request: Request,
    target: Target,
    body: CreateBody,
    *,
    headers: dict[str, str],
) -> Response:
    cancel_after = parse_cancel_after(
        request.headers.get("cancel-after"), emulator.settings.min_cancel_after
    )
    check_input(body.input, target.version.openapi_schema)
    rule = rule_for(emulator, request, "create", prompt_in(body.input))
    if rule.refuses and not rule.creates:
        await obey(emulator, rule)
    origin = str(rule.origin).rstrip("/") if rule.origin else _origin(request)
    prediction = Prediction(
        clock=emulator.clock,
        origin=origin,
        model=target.model.name,
        version="hidden" if target.model.is_official else target.version.id,
        deployment=target.deployment,
        input=body.input,
        webhook=body.webhook,
        webhook_events_filter=body.webhook_events_filter,
        cancel_after=cancel_after,
        output=rule.output,
        has_stream=rule.streams,
    )
    emulator.create(prediction, target, rule)
    await obey(emulator, rule)
    headers["location"] = f"{origin}/v1/predictions/{prediction.id}"
    preference = request.headers.get("prefer")
    seconds = parse_prefer(preference)
    if seconds is None:
        return reply(rendered_at_creation(prediction), headers, 201)
    headers["preference-applied"] = preference or ""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await prediction.ended.wait()
    if not prediction.is_final:
        return reply(rendered_at_creation(prediction), headers, 202)
    return reply(rendered_after_waiting(prediction), headers, 201)


def _origin(request: Request) -> str:
    emulator: Emulator = request.app.state.emulator
    return str(emulator.settings.public_url or request.base_url).rstrip("/")


@router.get("/predictions")
async def list_predictions(emulator: EmulatorDep, request: Request) -> Response:
    """List the predictions, newest first."""
    headers = await enter(emulator, request, "list")
    query = request.query_params
    filters = {
        name: query[name]
        for name in ("created_after", "created_before")
        if name in query
    }
    found = page(
        # The emulator has no web site on which predictions are created.
        [] if query.get("source") == "web" else emulator.listed(),
        size=emulator.settings.page_size,
        cursor=query.get("cursor"),
        **{name: parse_time(text) for name, text in filters.items()},
    )

    def address(cursor: str | None) -> str | None:
        if cursor is None:
            return None
        there = urlencode({"cursor": cursor, **filters})
        return f"{_origin(request)}/v1/predictions?{there}"

    shown = [existing(emulator.find(each.id)) for each in found.predictions]
    return reply(
        {
            "next": address(found.next),
            "previous": address(found.previous),
            "results": [rendered(each) for each in shown],
        },
        headers,
    )


@router.get("/predictions/{prediction_id}")
async def get_prediction(
    emulator: EmulatorDep, request: Request, prediction_id: str
) -> Response:
    """Return one prediction."""
    found = emulator.find(prediction_id)
    headers = await enter(emulator, request, "get", found)
    return reply(rendered(existing(found)), headers)


@router.post("/predictions/{prediction_id}/cancel")
async def cancel_prediction(
    emulator: EmulatorDep, request: Request, prediction_id: str
) -> Response:
    """Cancel a prediction, unless it has ended already."""
    found = emulator.find(prediction_id)
    headers = await enter(emulator, request, "cancel", found)
    prediction = existing(found)
    prediction.cancel()
    return reply(rendered(prediction), headers)


@router.get("/streams/{stream_key}")
async def stream(emulator: EmulatorDep, request: Request, stream_key: str) -> Response:
    """Stream a prediction's words."""
    found = emulator.find_stream(stream_key)
    admit(emulator, request, "stream", found)
    prediction = existing(found)
    rule = rule_for(emulator, request, "stream", prediction.prompt)
    await obey(emulator, rule)
    return EventStream(
        prediction, rule, emulator.settings, request.headers.get("last-event-id")
    )
