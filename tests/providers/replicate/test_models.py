"""Whether Replicate has a model: asked once in a while, and bounded."""

import asyncio
from collections.abc import Callable

import pytest

from llamakeep.errors import ModelNotFound, ProviderTimeout, ProviderUnavailable
from llamakeep.providers.replicate import ReplicateProvider, known_models
from llamakeep.providers.replicate.known_models import (
    FRESH,
    FRESH_ABSENCE,
    KnownModels,
)
from replicate_emulator.catalogue import BUILT_IN
from tests.providers.replicating import MAVERICK, Control

PARROT = next(each for each in BUILT_IN if not each.is_official)
THERE, MISSING, AWAY = "a/there", "a/missing", "a/away"


class Replicate:
    """Knows one model, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = 1000.0

    async def fetch(self, model: str) -> None:
        self.asked.append(model)
        await asyncio.sleep(0)
        if model == AWAY:
            raise ProviderUnavailable("away")
        if model != THERE:
            raise ModelNotFound("missing")

    def known(self) -> KnownModels:
        return KnownModels(self.fetch, clock=lambda: self.now)


@pytest.mark.parametrize(
    ("model", "is_there"),
    [
        (MAVERICK, True),
        (PARROT.name, True),
        (f"{PARROT.name}:{PARROT.versions[0].id}", True),
        (f"{PARROT.name}:{64 * '0'}", False),
        (f"no/such:{PARROT.versions[0].id}", False),
        ("no/such", False),
        (f"a/{300 * 'b'}", False),
        (PARROT.versions[0].id, True),  # whose it is cannot be asked
    ],
)
async def test_replicate_says_which_models_it_has(
    replicate: ReplicateProvider, model: str, is_there: bool
) -> None:
    assert await replicate.has_model(model) is is_there


@pytest.mark.parametrize("status", [400, 422])
async def test_a_name_that_replicate_refuses_to_read_is_no_model(
    replicate: ReplicateProvider, control: Control, status: int
) -> None:
    await control.rule(on="models", status=status)

    assert not await replicate.has_model(MAVERICK)


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_a_replicate_that_cannot_be_asked_is_no_reason_to_say_no(
    replicate: ReplicateProvider, control: Control, status: int
) -> None:
    await control.rule(on="models", status=status, times=None)

    with pytest.raises(Exception, match="Replicate"):
        await replicate.has_model(MAVERICK)


@pytest.mark.parametrize(("model", "fresh"), [(THERE, FRESH), (MISSING, FRESH_ABSENCE)])
async def test_what_was_said_is_believed_for_a_while(model: str, fresh: float) -> None:
    replicate = Replicate()
    known = replicate.known()

    first = await known.has(model)
    replicate.now += fresh - 1
    again = await known.has(model)
    asked_meanwhile = len(replicate.asked)
    replicate.now += 2
    await known.has(model)

    assert first is again is (model == THERE)
    assert asked_meanwhile == 1
    assert len(replicate.asked) == 2


async def test_failures_are_not_remembered() -> None:
    replicate = Replicate()
    known = replicate.known()

    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            await known.has(AWAY)

    assert len(replicate.asked) == 2


async def test_many_who_want_to_know_the_same_ask_once() -> None:
    replicate = Replicate()
    known = replicate.known()

    found = await asyncio.gather(*(known.has(THERE) for _ in range(20)))

    assert found == 20 * [True]
    assert replicate.asked == [THERE]


async def test_made_up_names_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_models, "MOST_MODELS", 5)
    known = Replicate().known()

    for number in range(50):
        await known.has(f"a/{number}")

    assert len(known._known) <= 5
    assert not known._asking


async def test_a_silent_replicate_is_waited_for_seconds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_models, "_TIMEOUT", 0.01)

    async def silent(_: str) -> None:
        await asyncio.Event().wait()

    fetch: Callable[[str], object] = silent
    known = KnownModels(fetch)  # type: ignore[arg-type] # it never returns

    with pytest.raises(ProviderTimeout, match="a/there"):
        await known.has(THERE)
