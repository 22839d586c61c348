"""`GET /models/`: which models there are, and what they can do."""

from llamakeep.domain import Capabilities
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

    nothing = dict(Capabilities(n=False, prefill=False))
    assert response.json() == {
        "models": [
            {"model": "scripted:parrot", "capabilities": nothing},
            {
                "model": "scripted:owl",
                "capabilities": nothing | {"tools": True, "images": False},
            },
            {
                "model": "second:mute",
                "capabilities": nothing | {"tools": False, "parallel_tools": False},
            },
        ]
    }


async def test_without_models_none_are_listed(settings: Settings) -> None:
    async with connect(settings) as client:
        assert (await client.get("/models")).json() == {"models": []}
