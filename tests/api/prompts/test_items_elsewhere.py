"""Answers that are more than text, on surfaces that show their text alone."""

import pytest

from llamakeep.domain import Reasoning, Refusal, Text, ToolCall
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.api.serving import Client, connect
from tests.fakes import Line, ScriptedProvider

CALL: list[Line] = [
    ItemBegun(ToolCall("call_1", "weather")),
    ItemText('{"city":'),
    ItemText('"O"}'),
]
MIXED: tuple[Line, ...] = (
    ItemBegun(Reasoning()),
    ItemText("Hm."),
    ItemBegun(Text()),
    "I ",
    "look.",
    *CALL,
    ItemBegun(Refusal()),
    " No.",
)
SCRIPTS = pytest.mark.parametrize(
    ("script", "text"), [(MIXED, "I look. No."), (CALL, ""), (MIXED[:2], "")]
)


@SCRIPTS
async def test_a_prediction_shows_the_text_and_ends(
    settings: Settings, script: list[Line], text: str
) -> None:
    door = "/replicate/v1/models/scripted/parrot/predictions"
    body = {"input": {"prompt": "Hi"}, "stream": True}
    async with connect(settings, ScriptedProvider(script)) as client:
        made = await client.post(door, json=body, headers={"Prefer": "wait"})
        run_id = "run_" + made.json()["id"]
        url = made.json()["urls"]["stream"].removeprefix("http://test")
        await client.ended(run_id)
        events = await followed_text(client, url)
        again = await client.get(f"/replicate/v1/predictions/{made.json()['id']}")

    assert "".join(data for kind, data in events if kind == "output") == text
    assert events[-1] == ("done", "{}")
    assert "".join(again.json()["output"] or ()) == text


async def followed_text(client: Client, url: str) -> list[tuple[str, str]]:
    async with client.sse(url) as source:
        return [(one.event, one.data) async for one in source]
