"""What a server says of itself without a login."""

import json

import pytest

import llamakeep
from llamakeep.app import offer_setup
from llamakeep.settings import Settings
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider


async def test_a_server_says_what_a_page_needs_and_nothing_else(
    shared_client: Client,
) -> None:
    response = await shared_client.get("/about/", headers={"Authorization": ""})

    assert response.json() == {
        "version": llamakeep.__version__,
        "demo": True,
        "setup": False,
        "sign_in": None,
        "max_body_size": 1024**2,
        "max_images_size": 16 * 1024**2,
    }


@pytest.mark.parametrize("is_used", [False, True])
async def test_set_up_is_offered_until_there_is_a_user(
    real: Settings, *, is_used: bool
) -> None:
    async with connect(real, ScriptedProvider()) as client:
        before = (await client.get("/about/")).json()
        assert await offer_setup(client.app)
        if is_used:  # by another process, which leaves this one's token as it is
            await client.storage.add_user("root", "the hash of a password")

        after = (await client.get("/about/")).json()

    assert (before["setup"], after["setup"]) == (False, not is_used)


async def test_what_a_proxy_passes_on_is_streamed_without_a_login(
    shared_client: Client,
) -> None:
    headers = {"Authorization": "", "X-Forwarded-For": "192.0.2.66"}

    response = await shared_client.get("/about/proxy", headers=headers)

    first, second, end = response.text.split("\n\n")
    said = json.loads(first.removeprefix("data: "))
    assert said == {"address": "127.0.0.1", "scheme": "http", "prefix": ""}
    assert (second, end) == ("data: {}", "")
    assert response.headers["X-Accel-Buffering"] == "no"
