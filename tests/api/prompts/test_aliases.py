"""Aliases among the models that clients can ask for."""

import pytest

from llamakeep.domain import UserRole
from llamakeep.settings import Settings
from tests.api.serving import connect_with

TEXT = """\
[upstreams.one]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
models = ["big", "small"]
prices.big = { input = 2, output = 3 }
prices.small = { input = 0.1, output = 4 }
capabilities.big = { tools = true, images = false }
capabilities.small = { tools = false, images = false }

[upstreams.two]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
models = ["other"]

[limits.one]
dollars_per_month = 2.5

[limits.any]
tokens_per_day = 1000

[aliases]
known = ["one:small", "one:big"]
any = ["known", "two:other"]
"""


async def test_an_alias_is_listed_with_what_any_of_its_models_can_do_and_costs(
    settings: Settings,
) -> None:
    async with connect_with(settings, TEXT) as client:
        found = (await client.get("/models/")).json()["models"]

    by_name = {each["model"]: each for each in found}
    assert [*by_name] == ["one:big", "known", "any", "one:small", "two:other"]
    known, of_any = by_name["known"], by_name["any"]
    assert known["alias_of"] == ["one:small", "one:big"]
    assert of_any["alias_of"] == ["one:small", "one:big", "two:other"]
    assert (by_name["one:big"]["alias_of"], known["is_default"]) == (None, False)
    can = known["capabilities"]
    assert (can["tools"], can["images"], can["logprobs"]) == (True, False, None)
    assert of_any["capabilities"]["images"] is None
    assert known["price"] == {"input_usd": 2, "output_usd": 4}
    assert of_any["price"] is None
    assert "tools" in known["parameters"]


async def test_an_alias_is_the_default_where_the_settings_say_so(
    settings: Settings,
) -> None:
    settings = settings.model_copy(update={"default_model": "any"})
    async with connect_with(settings, TEXT) as client:
        found = (await client.get("/models/")).json()["models"]

    defaults = [each["model"] for each in found if each["is_default"]]
    assert defaults == [found[0]["model"]] == ["any"]


async def test_openais_clients_find_an_alias(settings: Settings) -> None:
    async with connect_with(settings, TEXT) as client:
        listed = (await client.get("/v1/models")).json()["data"]
        alias = (await client.get("/v1/models/known")).json()

    assert alias in listed
    assert (alias["id"], alias["owned_by"]) == ("known", "llamakeep")
    assert alias["alias_of"] == ["one:small", "one:big"]
    assert alias["capabilities"]["tools"] is True


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/known"])
async def test_anthropics_clients_find_an_alias(settings: Settings, path: str) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    async with connect_with(settings, TEXT) as client:
        found = (await client.get(path, headers=headers)).json()

    assert "known" in [each["id"] for each in found.get("data", [found])]


async def test_administrators_see_the_limits_of_upstreams_and_aliases(
    settings: Settings,
) -> None:
    async with connect_with(settings, TEXT) as client:
        root = await client.storage.add_user("root", None, role=UserRole.ADMIN)
        headers = await client.let_in(root)
        shown = (await client.get("/admin/limits", headers=headers)).json()["limits"]

    assert [(each["whose"], each["subject"], each["limit"]) for each in shown] == [
        ("upstream", "one", 2.5),
        ("alias", "any", 1000),
    ]
    assert {each["used"] for each in shown} == {0}
