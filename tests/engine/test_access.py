"""Which models and aliases roles and API keys may ask."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from llamakeep.domain import (
    ApiKey,
    NewRun,
    Parameters,
    Scope,
    User,
    UserRole,
    utc_now,
)
from llamakeep.engine.routing.access import Access
from llamakeep.errors import UnknownModel, UnsupportedParameter
from llamakeep.providers.described import KnownModels
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import Member
from llamakeep.storage import Storage
from tests.engine.engine import open_with
from tests.fakes import CountingProvider, ScriptedProvider

ALIASES = {"any": [[Member("one", "a")], [Member("two", "b")]]}

ANY = {"any": [[Member("two", "b")], [Member("one", "a")]]}


def registry_of(**roles: Collection[str]) -> Registry:
    one = ScriptedProvider(name="one", models=["a", "c"])
    two = ScriptedProvider(name="two", models=["b"])
    return Registry([one, two], aliases=ALIASES, roles=roles)


def with_key(user: User, *models: str) -> User:
    key = ApiKey(
        id="key_1",
        name="a key",
        hint="abcd",
        scopes=frozenset(Scope),
        models=frozenset(models),
        created_at=utc_now(),
        expires_at=None,
        last_used_at=None,
    )
    return replace(user, api_key=key)


@pytest.mark.parametrize(
    "case",
    [
        (["one:a"], "one:a", "one:a"),
        (["one:a"], "one:c", None),
        (["one:*"], "one:c", "one:c"),
        (["one:*"], "two:b", None),
        (["any"], "any", "one:a"),
        (["any"], "one:a", None),
        (["two:b"], "any", "two:b"),
        (["one:c"], "any", None),
        (["two:*", "one:c"], "any", "two:b"),
    ],
)
async def test_a_role_asks_what_is_allowed_to_it_and_no_more(
    settings: Settings,
    storage: Storage,
    alice: User,
    case: tuple[list[str], str, str | None],
) -> None:
    allowed, model, answering = case
    new = NewRun(prompt="Why?", model=model)
    async with open_with(settings, storage, registry_of(user=allowed)) as engine:
        if answering is None:
            with pytest.raises(UnknownModel, match=r"'user' may not ask .* Allowed"):
                await engine.answer(alice, new)
        else:
            run = await engine.answer(alice, new)
            assert f"{run.provider}:{run.model}" == answering
    assert len(await storage.history(alice)) == (answering is not None)


async def test_a_suggestion_is_a_model_that_may_be_asked(
    settings: Settings, storage: Storage, alice: User
) -> None:
    tools = Parameters(tools=({},))
    unable = ScriptedProvider(
        name="one", models=["a"], unsupported=frozenset({"tools"})
    )
    secret = ScriptedProvider(name="two", models=["b"])
    able = ScriptedProvider(name="three", models=["c"])
    roles = {"user": ["one:*", "three:*"]}
    registry = Registry([unable, secret, able], roles=roles, aliases=ANY)
    async with open_with(settings, storage, registry) as engine:
        for model in ("one:a", "any"):
            new = NewRun(prompt="Why?", model=model, parameters=tools)
            with pytest.raises(UnsupportedParameter, match="such as three:c"):
                await engine.answer(alice, new)
            with pytest.raises(UnsupportedParameter) as refused:
                await engine.answer(with_key(alice, "one:*"), new)
            assert refused.value.detail.endswith("choose another model.")


@pytest.mark.parametrize("model", ["two:b", "b", "any", "none", "nowhere:x", None])
async def test_a_refusal_names_no_model_but_those_that_may_be_asked(
    settings: Settings, storage: Storage, alice: User, model: str | None
) -> None:
    two = ScriptedProvider(name="two", models=["b"])
    one = ScriptedProvider(name="one", models=["a", "c"])
    aliases = {"any": [[Member("two", "b")]]}
    registry = Registry([two, one], aliases=aliases, roles={"user": ["one:*"]})
    new = NewRun(prompt="Why?", model=model)
    async with open_with(settings, storage, registry) as engine:
        with pytest.raises(UnknownModel) as refused:
            await engine.answer(with_key(alice, "one:c", "three:d"), new)

    said = model or "the default model"
    assert refused.value.detail.endswith(
        f" may not ask {said}; nothing was stored. Allowed are: one:c."
    )


async def test_a_route_has_no_model_that_may_not_be_asked(
    settings: Settings, storage: Storage, alice: User
) -> None:
    registry = registry_of(user=["two:*"])
    async with open_with(settings, storage, registry) as engine:
        run = await engine.answer(alice, NewRun(prompt="Why?", model="any"))

    assert run.provider == "two"
    assert run.parameters.route is not None
    assert run.parameters.route["passed"] == []


async def test_tokens_are_counted_by_the_model_of_an_alias_that_would_be_asked(
    settings: Settings, storage: Storage, alice: User
) -> None:
    forbidden = CountingProvider(name="one", models=["a"])
    unable = CountingProvider(
        name="two", models=["b"], unsupported=frozenset({"tools"})
    )
    able = CountingProvider(name="three", models=["c"])
    steps = [[Member("one", "a")], [Member("two", "b")], [Member("three", "c")]]
    registry = Registry(
        [forbidden, unable, able],
        aliases={"any": steps},
        roles={"user": ["two:*", "three:*"]},
    )
    new = NewRun(prompt="Why?", model="any", parameters=Parameters(tools=({},)))
    async with open_with(settings, storage, registry) as engine:
        await engine.count_tokens(alice, new)
        await engine.count_tokens(alice, replace(new, parameters=Parameters()))

    assert [len(each.requests) for each in (forbidden, unable, able)] == [0, 1, 1]
    assert await storage.history(alice) == []


async def test_tokens_are_counted_for_an_alias_that_is_allowed(
    settings: Settings, storage: Storage, alice: User
) -> None:
    counting = CountingProvider(name="one", models=["a"])
    aliases = {"any": [[Member("one", "a")]]}
    registry = Registry([counting], aliases=aliases, roles={"user": ["any"]})
    async with open_with(settings, storage, registry) as engine:
        assert await engine.count_tokens(alice, NewRun(prompt="Why?", model="any")) == 4
        with pytest.raises(UnknownModel):
            await engine.count_tokens(alice, NewRun(prompt="Why?", model="one:a"))


@pytest.mark.parametrize("of_key", [["two:b"], ["one:a"], ["any"]])
async def test_a_role_and_a_key_both_have_to_allow_a_model(
    settings: Settings, storage: Storage, alice: User, of_key: list[str]
) -> None:
    new = NewRun(prompt="Why?", model="two:b")
    async with open_with(settings, storage, registry_of(user=["one:*"])) as engine:
        with pytest.raises(UnknownModel):
            await engine.answer(with_key(alice, *of_key), new)


async def test_another_role_may_ask_anything(
    settings: Settings, storage: Storage, alice: User
) -> None:
    registry = registry_of(user=["one:a"])
    admin = replace(alice, role=UserRole.ADMIN)
    async with open_with(settings, storage, registry) as engine:
        run = await engine.answer(admin, NewRun(prompt="Why?", model="two:b"))

    assert run.provider == "two"


async def test_what_may_not_be_asked_is_not_listed(alice: User) -> None:
    registry = registry_of(user=["one:c", "two:*"])
    known = await KnownModels(registry).described()

    mine = Access(registry).listed(alice, known)
    [of_any] = [each for each in mine if each.name == "any"]
    with_a_key = Access(registry).listed(with_key(alice, "one:c", "any"), known)
    everything = Access(registry_of()).listed(alice, known)

    assert [each.name for each in mine] == ["any", "one:c", "two:b"]
    assert of_any.alias_of == ["two:b"]
    assert [each.name for each in with_a_key] == ["any", "one:c"]
    assert [each.name for each in everything] == ["one:a", "any", "one:c", "two:b"]
