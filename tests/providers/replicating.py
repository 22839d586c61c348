"""An emulator of Replicate, and asking it through the provider."""

import asyncio
from typing import Any

import httpcore2  # noqa: F401 - httpx2 would import it later, while a loop runs
import httpx2

from llamakeep.domain import Message, Parameters
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.input_schema import InputSchema, read_schema
from replicate_emulator.catalogue import Catalogue
from tests.emulator.driver import NO_CERTIFICATES
from tests.waiting import LONG_ENOUGH

MAVERICK = "meta/llama-4-maverick-instruct"
SCOUT = "meta/llama-4-scout-instruct"
GPT = "openai/gpt-5-mini"
STRUCTURED = "openai/gpt-5-structured"
PARROT = "llamakeep/parrot"
FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": {"type": "object"}},
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}},
}
API_TOKEN = "r8_anything"
GARBLED = ("html", "half", "empty", "list", "number", "null")
"""Bodies with status 200 that are none of Replicate's."""
Fault = dict[str, object]
FAULTS_OF_A_POLL: tuple[Fault, ...] = (
    *(Fault(garbled=each) for each in (*GARBLED, "other")),
    *(Fault(status=each) for each in (400, 404, 409, 422, 429, 500, 502)),
    {"status": 403, "html": True},
    {"drop": True},
)
"""What may answer a GET once in a while, and says nothing about the prediction."""


class Control:
    """Somebody at the emulator's control panel."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.http = httpx2.AsyncClient(
            base_url=origin, verify=NO_CERTIFICATES, timeout=LONG_ENOUGH
        )

    async def _send(self, method: str, path: str, **more: Any) -> Any:
        answer = await self.http.request(method, f"/_emulator/{path}", **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def reset(self) -> None:
        await self._send("POST", "reset")

    async def set(self, **changes: Any) -> None:
        await self._send("PATCH", "settings", json=changes)

    async def rule(self, **fields: Any) -> None:
        await self._send("POST", "rules", json=fields)

    async def advance(self, seconds: float) -> None:
        await self._send("POST", "clock", json={"advance": seconds})

    async def erase(self, handle: str) -> None:
        await self._send("POST", f"predictions/{handle}/erase")

    async def abort(self, handle: str) -> None:
        await self._send("POST", f"predictions/{handle}/abort")

    async def requests(self) -> dict[str, int]:
        found: dict[str, int] = await self._send("GET", "requests")
        return found

    async def webhooks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._send("GET", "webhooks")
        return found

    async def predictions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._send("GET", "predictions"))[
            "predictions"
        ]
        return found

    async def only(self) -> dict[str, Any]:
        [prediction] = await self.predictions()
        return prediction

    async def until(self, *statuses: str, count: int = 1) -> None:
        """Wait until there are `count` predictions with one of these statuses."""
        async with asyncio.timeout(LONG_ENOUGH):
            while True:
                found = [each["status"] for each in await self.predictions()]
                if len(found) == count and set(found) <= set(statuses):
                    return
                await asyncio.sleep(0.01)


def provider_at(origin: str, **options: Any) -> ReplicateProvider:
    return ReplicateProvider(API_TOKEN, base_url=origin, **options)


def asking(
    prompt: str = "one two three",
    *,
    model: str = MAVERICK,
    before: tuple[Message, ...] = (),
    is_followed: bool = True,
    run_id: str = "run_1",
    **parameters: Any,
) -> CompletionRequest:
    return CompletionRequest(
        run_id=run_id,
        attempt=1,
        model=model,
        messages=[*before, Message("user", prompt)],
        parameters=Parameters(**parameters),
        is_followed=is_followed,
    )


def version(
    fields: dict[str, Any], output: Any = None, **schemas: Any
) -> dict[str, Any]:
    """Return a version of a model that takes a prompt and these fields."""
    inputs = {"properties": {"prompt": {"type": "string"}, **fields}}
    components = {"schemas": {"Input": inputs, "Output": output, **schemas}}
    return {"id": "v1", "openapi_schema": {"components": components}}


def schema_of(fields: dict[str, Any], output: Any = None, **more: Any) -> InputSchema:
    found = read_schema(version(fields, output, **more))
    assert found is not None
    return found


def emulated(name: str, place: int = 0) -> InputSchema:
    """Return what a model of the emulator takes; its newest version is the first."""
    model = Catalogue().find(name)
    assert model is not None
    found = read_schema(model.versions[place].rendered())
    assert found is not None
    return found
