"""The emulator's own API, under `/_emulator`: what tests and curious people use."""

import json
import time
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from replicate_emulator.predictions import Prediction
from replicate_emulator.routes.entry import EmulatorDep, existing
from replicate_emulator.routes.rendering import rendered, timestamp
from replicate_emulator.rules import Rule
from replicate_emulator.settings import EmulatorSettings, Seconds

router = APIRouter(prefix="/_emulator", tags=["control"])


class Turn(BaseModel):
    """By how much to turn the clock."""

    model_config = ConfigDict(extra="forbid")

    advance: Seconds


@router.get("/settings")
async def get_settings(emulator: EmulatorDep) -> EmulatorSettings:
    """Return the settings."""
    return emulator.settings


@router.put("/settings")
async def put_settings(
    emulator: EmulatorDep, settings: EmulatorSettings
) -> EmulatorSettings:
    """Replace the settings; what is not mentioned gets its default."""
    emulator.change(settings)
    return emulator.settings


@router.patch("/settings")
async def patch_settings(
    emulator: EmulatorDep, changes: Annotated[dict[str, Any], Body()]
) -> EmulatorSettings:
    """Change some settings."""
    changed = emulator.settings.model_dump(mode="json") | changes
    try:
        emulator.change(EmulatorSettings.model_validate(changed))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    return emulator.settings


@router.get("/rules", response_model_exclude_defaults=True)
async def get_rules(emulator: EmulatorDep) -> list[Rule]:
    """Return the rules that wait for requests."""
    return emulator.rules.waiting()


@router.post("/rules", status_code=201, response_model_exclude_defaults=True)
async def add_rules(emulator: EmulatorDep, rules: Rule | list[Rule]) -> list[Rule]:
    """Queue one rule, or several."""
    for rule in rules if isinstance(rules, list) else [rules]:
        emulator.rules.add(rule)
    return emulator.rules.waiting()


@router.delete("/rules", status_code=204)
async def clear_rules(emulator: EmulatorDep) -> None:
    """Forget all rules."""
    emulator.rules.clear()


@router.get("/clock")
async def get_clock(emulator: EmulatorDep) -> dict[str, Any]:
    """Return what time it is here, and what the process's own clocks say."""
    return {
        "now": timestamp(emulator.clock.now()),
        "offset": emulator.clock.offset.total_seconds(),
        "unix": time.time(),
        "monotonic": time.monotonic(),
    }


@router.post("/clock")
async def turn_clock(emulator: EmulatorDep, turn: Turn) -> dict[str, Any]:
    """Turn the clock forward: deadlines pass, and old data is erased."""
    emulator.advance(turn.advance)
    return await get_clock(emulator)


@router.get("/requests")
async def get_requests(emulator: EmulatorDep) -> dict[str, int]:
    """Return how many requests came, by kind."""
    return dict(emulator.requests)


@router.get("/webhooks")
async def get_webhooks(emulator: EmulatorDep) -> list[dict[str, Any]]:
    """Return the webhooks that were sent lately."""
    return emulator.webhooks.deliveries()


@router.get("/predictions")
async def get_predictions(
    emulator: EmulatorDep, prompt: str = "", webhook: str = ""
) -> dict[str, Any]:
    """
    Return all predictions, oldest first, and how often the same was asked for.

    Args:
        emulator: The emulator.
        prompt: Only those whose prompt contains this.
        webhook: Only those whose webhook contains this.
    """
    found = [
        each
        for each in emulator.predictions
        if prompt in each.prompt and webhook in (each.webhook or "")
    ]
    return {
        "count": len(found),
        "by_webhook": Counter(each.webhook for each in found if each.webhook),
        "by_input": Counter(
            f"{each.model} {json.dumps(each.input, sort_keys=True)}" for each in found
        ),
        "predictions": [_observed(each) for each in found],
    }


@router.get("/predictions/{prediction_id}")
async def get_prediction(emulator: EmulatorDep, prediction_id: str) -> dict[str, Any]:
    """Return one prediction with everything that is known about it."""
    return _observed(existing(emulator.find(prediction_id)))


@router.post("/predictions/{prediction_id}/erase")
async def erase(emulator: EmulatorDep, prediction_id: str) -> dict[str, Any]:
    """Erase a prediction's data now, and cancel it if it is still running."""
    prediction = existing(emulator.find(prediction_id))
    prediction.cancel()
    prediction.erase()
    return _observed(prediction)


@router.post("/predictions/{prediction_id}/abort")
async def abort(emulator: EmulatorDep, prediction_id: str) -> dict[str, Any]:
    """Let a prediction's deadline pass now."""
    prediction = existing(emulator.find(prediction_id))
    prediction.expire()
    return _observed(prediction)


@router.post("/reset", status_code=204)
async def reset(emulator: EmulatorDep) -> None:
    """Begin again, with the settings and rules that the process was started with."""
    emulator.close()
    emulator.reset()


def _observed(prediction: Prediction) -> dict[str, Any]:
    return rendered(prediction) | {
        "requests": dict(prediction.requests),
        "monotonic": {
            "created": prediction.created,
            "started": prediction.started,
            "emitted": prediction.emitted,
            "completed": prediction.completed,
        },
    }
