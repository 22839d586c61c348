"""What Replicate signs webhooks with, and what they say."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llamakeep.errors import ProviderAnswerInvalid, ProviderUnavailable
from llamakeep.providers.replicate.api import ReplicateApi
from llamakeep.providers.replicate.webhooks import ASK_EVERY, WebhookSecret
from tests.providers.asking import ask
from tests.providers.replicating import API_TOKEN, Control, asking, provider_at
from tests.waiting import LONG_ENOUGH

OLD = "whsec_bGxhbWFrZWVwLWVtdWxhdG9yLXNlY3JldA=="
NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Clock:
    """Stands still."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def api_at(origin: str) -> ReplicateApi:
    return ReplicateApi(origin, API_TOKEN, connect_timeout=5, silence_timeout=5)


@pytest.fixture
async def secret(control: Control, clock: Clock) -> AsyncIterator[WebhookSecret]:
    api = api_at(control.origin)
    yield WebhookSecret(api, None, clock=clock)
    await api.close()


async def asked(control: Control) -> int:
    return (await control.requests()).get("account", 0)


async def test_the_secret_is_asked_for_once(
    secret: WebhookSecret, control: Control
) -> None:
    found = await asyncio.gather(*(secret.get() for _ in range(5)))

    assert set(found) == {OLD}
    assert await asked(control) == 1


async def test_a_secret_that_does_not_fit_is_asked_for_again_but_not_all_the_time(
    secret: WebhookSecret, control: Control, clock: Clock
) -> None:
    await secret.get()
    await control.set(webhook_secret=NEW)

    too_soon = await secret.get(instead_of=OLD)
    clock.now += ASK_EVERY
    later = await secret.get(instead_of=OLD)

    assert (too_soon, later) == (OLD, NEW)
    assert await secret.get(instead_of=OLD) == NEW
    assert await asked(control) == 2


async def test_a_secret_that_was_given_is_never_asked_for(
    control: Control, clock: Clock
) -> None:
    api = api_at(control.origin)
    secret = WebhookSecret(api, NEW, clock=clock)

    assert await secret.get(instead_of=NEW) == NEW

    await api.close()
    assert await asked(control) == 0


async def test_who_cannot_be_asked_for_the_secret_is_left_alone_for_a_minute(
    secret: WebhookSecret, control: Control, clock: Clock
) -> None:
    await control.rule(on="account", status=503, times=3)  # as often as a GET is tried
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            await secret.get()

    clock.now += ASK_EVERY

    assert await secret.get() == OLD
    assert await asked(control) == 4


async def test_a_known_secret_stays_good_while_replicate_is_away(
    secret: WebhookSecret, control: Control, clock: Clock
) -> None:
    await secret.get()
    clock.now += ASK_EVERY
    await control.rule(on="account", status=503, times=3)

    assert await secret.get(instead_of=OLD) == OLD


async def test_a_gateway_that_knows_no_secret_is_said_to(
    secret: WebhookSecret, control: Control
) -> None:
    await control.rule(on="account", status=404)

    with pytest.raises(ProviderAnswerInvalid, match="REPLICATE_WEBHOOK_SECRET"):
        await secret.get()


async def test_webhooks_are_asked_for_at_the_beginning_and_at_the_end(
    control: Control,
) -> None:
    provider = provider_at(control.origin, webhook_url="http://127.0.0.1:1/hook?a=b")
    await ask(provider, asking(run_id="run_mine"))
    await provider.close()

    sent: list[dict[str, Any]] = []
    async with asyncio.timeout(LONG_ENOUGH):
        while len(sent) < 2:
            await asyncio.sleep(0.01)
            sent = await control.webhooks()

    assert [each["event"] for each in sent[:2]] == ["start", "completed"]
    assert sent[0]["url"] == "http://127.0.0.1:1/hook?a=b&run=run_mine&attempt=1"
