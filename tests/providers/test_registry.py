import asyncio
from pathlib import Path

import pytest

from llamakeep.domain import Parameters
from llamakeep.errors import NoProvider, UnknownModel, UnsupportedParameter
from llamakeep.providers.creating import create_registry, providers_of, registry_of
from llamakeep.providers.local.weights import has_engine
from llamakeep.providers.registry import Registry
from llamakeep.settings.upstreams import Upstreams, read_text
from tests.fakes import ScriptedProvider
from tests.providers.asking import settings

FIRST = ScriptedProvider(name="first", models=("a", "b"))
SECOND = ScriptedProvider(name="second", models=("b", "c:8b"))


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        (None, (FIRST, "a")),
        ("a", (FIRST, "a")),
        ("b", (FIRST, "b")),
        ("second:b", (SECOND, "b")),
        ("c:8b", (SECOND, "c:8b")),
        ("second:c:8b", (SECOND, "c:8b")),
    ],
)
async def test_a_model_name_leads_to_its_provider(
    name: str | None, resolved: tuple[ScriptedProvider, str]
) -> None:
    assert await Registry([FIRST, SECOND]).resolve(name) == resolved


async def test_all_known_models_are_listed_with_the_default_one_first() -> None:
    registry = Registry(
        [
            ScriptedProvider(name="one", models=["a", "b"]),
            ScriptedProvider(name="two", models=["c"]),
        ],
        default_model="one:b",
    )

    assert await registry.models() == ["one:b", "one:a", "two:c"]


async def test_the_operator_may_choose_the_default_model() -> None:
    registry = Registry([FIRST, SECOND], default_model="second:b")

    assert await registry.resolve(None) == (SECOND, "b")


@pytest.mark.parametrize("name", ["d", "first:c:8b", "first:", "third:a", ":"])
async def test_a_model_that_nobody_serves_is_unknown(name: str) -> None:
    with pytest.raises(UnknownModel, match="first, second"):
        await Registry([FIRST, SECOND]).resolve(name)


async def test_without_providers_a_prompt_says_what_to_configure() -> None:
    with pytest.raises(NoProvider, match="LLAMAKEEP_OPENAI_BASE_URL"):
        await Registry([]).resolve(None)


def test_a_run_of_a_provider_that_is_gone_says_so() -> None:
    with pytest.raises(NoProvider, match="'second'"):
        Registry([FIRST]).provider("second")


async def test_closing_closes_all_providers() -> None:
    providers = [ScriptedProvider(name="x"), ScriptedProvider(name="y")]
    await Registry(providers).close()

    assert [provider.is_closed for provider in providers] == [True, True]


async def test_a_parameter_that_would_be_ignored_is_refused() -> None:
    provider = ScriptedProvider(unsupported=frozenset({"top_k", "seed"}))
    given = Parameters(top_k=1, seed=2, top_p=0.5)

    with pytest.raises(UnsupportedParameter, match="seed, top_k") as refused:
        await Registry([provider]).check_parameters(provider, "parrot", given)

    assert "such as" not in refused.value.detail


async def test_parameters_that_were_not_given_are_not_refused() -> None:
    provider = ScriptedProvider(unsupported=frozenset({"top_k"}))

    await Registry([provider]).check_parameters(
        provider, "parrot", Parameters(top_p=0.5)
    )


async def test_no_effort_is_what_a_model_makes_that_does_not_reason() -> None:
    provider = ScriptedProvider(unsupported=frozenset({"reasoning_effort"}))
    registry = Registry([provider])

    await registry.check_parameters(
        provider, "parrot", Parameters(reasoning_effort="none")
    )
    with pytest.raises(UnsupportedParameter, match="reasoning_effort"):
        await registry.check_parameters(
            provider, "parrot", Parameters(reasoning_effort="low")
        )


def anything(_model: str) -> bool:
    return True


async def test_another_model_is_found_that_has_what_is_refused() -> None:
    unable = frozenset({"tools", "seed"})
    first = ScriptedProvider(name="first", unsupported=unable)
    second = ScriptedProvider(name="second", unsupported=frozenset({"seed"}))
    registry = Registry([first, second])

    with pytest.raises(UnsupportedParameter) as refused:
        await registry.check_parameters(first, "parrot", Parameters(tools=({},)))
    needed = refused.value.needed

    assert await registry.able(needed, may_ask=anything) == "second:parrot"
    assert await registry.able([*needed, "seed"], may_ask=anything) is None
    assert await registry.able(needed, may_ask="first:parrot".__eq__) is None


@pytest.fixture
def full(tmp_path: Path) -> Registry:
    weights = tmp_path / "Tiny.Q4_K_M.gguf"
    weights.touch()
    return create_registry(
        settings(
            openai_base_url="http://127.0.0.1:1/v1",
            openai_models=("parrot",),
            local_model=weights,
        )
    )


async def test_a_configured_server_is_preferred_to_the_embedded_model(
    full: Registry,
) -> None:
    provider, model = await full.resolve(None)

    assert (provider.name, model) == ("openai", "parrot")


@pytest.mark.skipif(not has_engine(), reason="xllamacpp is not installed")
async def test_the_embedded_model_is_there_beside_a_configured_server(
    full: Registry,
) -> None:
    provider, _ = await full.resolve("tiny")

    assert provider.name == "local"


@pytest.fixture
def empty(tmp_path: Path) -> Registry:
    return create_registry(settings(local_model=tmp_path / "missing.gguf"))


async def test_nothing_configured_is_an_empty_registry(empty: Registry) -> None:
    with pytest.raises(NoProvider):
        await empty.resolve(None)


async def test_another_bound_leaves_an_upstream_and_its_connections_as_they_are() -> (
    None
):
    given = settings(local_model=Path("none"))

    def said(parallel: int) -> Upstreams:
        text = f"""\
[upstreams.one]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
parallel = {parallel}
"""
        return read_text(text, Path("llamakeep.toml"), given)

    before, after = await asyncio.to_thread(said, 1), await asyncio.to_thread(said, 2)
    known = providers_of(given, before)

    providers = providers_of(given, after, before=before, known=known)

    assert providers["one"] is known["one"]
    assert registry_of(given, after, providers).facts("one").parallel == 2
    await known["one"].close()
