"""Messages with the name of who said them, as programs of several agents send them."""

import pytest

from llamakeep.domain import Message
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider
from tests.providers.misbehaving import misbehaving

NAMED = [
    {"role": "user", "content": "Hi", "name": "ann"},
    {"role": "assistant", "content": "Ho", "name": ""},
    {"role": "user", "content": "Why?", "name": "bob"},
]


async def test_names_are_handed_on_where_the_provider_can_be_told(
    settings: Settings,
) -> None:
    heard: list[dict[str, object]] = []
    async with (
        misbehaving(heard) as base_url,
        connect(settings, OpenAIProvider(base_url)) as client,
    ):
        response = await client.post(CHAT, json={"model": "ok", "messages": NAMED})

    assert response.status_code == 200
    assert heard[0]["messages"] == [
        {"role": "user", "content": "Hi", "name": "ann"},
        {"role": "assistant", "content": "Ho"},
        {"role": "user", "content": "Why?", "name": "bob"},
    ]


@pytest.mark.parametrize(
    ("path", "field"), [(CHAT, "messages"), ("/v1/responses", "input")]
)
async def test_names_of_earlier_messages_are_kept(
    client: Client, provider: ScriptedProvider, path: str, field: str
) -> None:
    response = await client.post(path, json={field: NAMED})
    [kept] = await client.history()
    alice = await client.alice()
    run = await client.storage.get_run(alice, kept["id"])

    assert response.status_code == 200
    assert run.prior_messages == (
        Message("user", "Hi", "ann"),
        Message("assistant", "Ho"),
    )
    assert provider.requests[0].messages[0] == Message("user", "Hi", "ann")
