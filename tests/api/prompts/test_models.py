"""`GET /models/`: which models there are, and what they can do."""

from decimal import Decimal

from llamakeep.domain import Capabilities, Price
from llamakeep.errors import ProviderUnavailable
from llamakeep.settings import Settings
from tests.api.serving import connect
from tests.fakes import ScriptedProvider


async def test_models_are_listed_with_what_they_can_do(settings: Settings) -> None:
    first = ScriptedProvider(models=("parrot", "owl"))
    first.able["owl"] = Capabilities(tools=True, images=False)
    second = ScriptedProvider(
        name="second", models=("mute",), unsupported=frozenset({"tools"})
    )
    async with connect(settings, first, second) as client:
        response = await client.get("/models/")

    nothing = dict(Capabilities(n=True, prefill=False))
    known = response.json()["models"]
    assert [(each["model"], each["capabilities"]) for each in known] == [
        ("scripted:parrot", nothing),
        ("scripted:owl", nothing | {"tools": True, "images": False}),
        ("second:mute", nothing | {"tools": False, "parallel_tools": False}),
    ]


async def test_models_are_listed_with_what_they_take_and_cost(
    settings: Settings,
) -> None:
    settings = settings.model_copy(update={"default_model": "second:mute"})
    first = ScriptedProvider(models=("parrot", "owl"))
    first.able["owl"] = Capabilities(reasoning=False)
    first.prices["owl"] = Price(Decimal("0.25"), Decimal(2))
    second = ScriptedProvider(
        name="second", models=("mute",), unsupported=frozenset({"tools", "seed"})
    )
    async with connect(settings, first, second) as client:
        mute, parrot, owl = (await client.get("/models/")).json()["models"]

    assert [each["is_default"] for each in (mute, parrot, owl)] == [True, False, False]
    assert (mute["price"], owl["price"]) == (
        None,
        {"input_usd": 0.25, "output_usd": 2},
    )
    every = set(parrot["parameters"])
    assert {"max_tokens", "temperature", "tools", "response_format"} <= every
    assert every - set(owl["parameters"]) == {"reasoning_effort"}
    assert every - set(mute["parameters"]) == {"tools", "seed"}
    assert not every & {"prompt", "messages", "images", "stream", "echoed"}


class Silent(ScriptedProvider):
    """A provider that cannot be asked what its models can do."""

    async def capabilities(self, model: str) -> Capabilities:
        raise ProviderUnavailable(f"{model} is away.")


async def test_what_a_provider_does_not_say_is_null(settings: Settings) -> None:
    async with connect(settings, Silent()) as client:
        [model] = (await client.get("/models/")).json()["models"]

    assert (model["parameters"], model["price"]) == (None, None)
    assert set(model["capabilities"].values()) == {None}


async def test_without_models_none_are_listed(settings: Settings) -> None:
    async with connect(settings) as client:
        assert (await client.get("/models")).json() == {"models": []}
