"""What `llamakeep.toml` says of an upstream is what its server gets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from llamakeep.domain import Parameters
from llamakeep.errors import ProviderTimeout, UnsupportedParameter
from llamakeep.providers.creating import create_registry
from llamakeep.providers.registry import Registry
from llamakeep.settings.upstreams import read
from tests.fixtures import forget_surroundings
from tests.providers.asking import ask, request, settings
from tests.providers.stub_server import (
    DONE,
    END,
    STOP,
    Then,
    delta,
    head,
    running_stub,
    usage,
)

ANSWER = (head(), delta("Hello"), STOP, usage(7, 3), DONE, END)
Open = Callable[[str], AbstractAsyncContextManager[Registry]]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the registry that a file with this text has."""
    forget_surroundings(monkeypatch, tmp_path)

    @asynccontextmanager
    async def of(text: str) -> AsyncIterator[Registry]:
        path = tmp_path / "llamakeep.toml"
        await asyncio.to_thread(path.write_text, text)
        given = settings(config=path, local_model=Path("none"))

        def create() -> Registry:
            return create_registry(given, upstreams=read(given))

        registry = await asyncio.to_thread(create)
        try:
            yield registry
        finally:
            await registry.close()

    return of


def table(name: str, url: str, more: str = "") -> str:
    return (
        f'[upstreams.{name}]\nkind = "openai"\nbase_url = "{url}"\n'
        f'models = ["m"]\n{more}\n'
    )


async def test_each_upstream_is_sent_its_own_key_and_headers(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONES_KEY", "sk-one")
    await asyncio.to_thread((tmp_path / "two.key").write_text, "sk-two\n")
    async with running_stub(*ANSWER) as one, running_stub(*ANSWER) as two:
        more = 'key_variable = "ONES_KEY"\nheaders = { X-Team = "a" }'
        text = table("one", one.base_url, more)
        async with opened(
            text + table("two", two.base_url, 'key_file = "two.key"')
        ) as by:
            for name in ("one", "two"):
                await ask(by.provider(name), request(model="m"))

    [to_one], [to_two] = one.heard, two.heard
    assert to_one.headers["authorization"] == "Bearer sk-one"
    assert to_two.headers["authorization"] == "Bearer sk-two"
    assert to_one.headers["x-team"] == "a"
    assert "x-team" not in to_two.headers


async def test_each_upstream_may_be_silent_for_as_long_as_it_says(opened: Open) -> None:
    async with running_stub(Then.HANG) as stub:
        text = table("hasty", stub.base_url, "silence_timeout = 0.1")
        async with opened(text) as registry:
            with pytest.raises(ProviderTimeout):
                await ask(registry.provider("hasty"), request(model="m"))


async def test_each_upstream_is_handed_the_fields_that_it_names(opened: Open) -> None:
    given = Parameters(extra_fields={"min_p": 0.1})
    async with running_stub(*ANSWER) as stub:
        text = table("able", stub.base_url, 'extra_fields = ["min_p"]')
        async with opened(text + table("other", stub.base_url)) as registry:
            able, other = registry.provider("able"), registry.provider("other")
            await registry.check_parameters(able, "m", given)
            await ask(able, request(model="m", parameters=given))
            with pytest.raises(
                UnsupportedParameter, match="'other' is not handed: min_p"
            ):
                await registry.check_parameters(other, "m", given)

    assert stub.heard[0].json["min_p"] == 0.1
    assert registry.extra_names == {"min_p"}
