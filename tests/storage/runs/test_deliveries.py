from datetime import UTC, datetime, timedelta

import pytest

from llamakeep.storage import Storage
from llamakeep.storage.runs.deliveries import KEPT


async def test_a_webhook_is_new_once(storage: Storage) -> None:
    assert await storage.add_delivery("msg_1")
    assert not await storage.add_delivery("msg_1")
    assert await storage.add_delivery("msg_2")
    assert not await storage.add_delivery("msg_1")


async def test_old_webhooks_are_forgotten(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    await storage.add_delivery("msg_old")

    def turn_clock(by: timedelta) -> None:
        monkeypatch.setattr(
            "llamakeep.storage.runs.deliveries.utc_now", lambda: now + by
        )

    turn_clock(KEPT - timedelta(minutes=1))
    assert not await storage.add_delivery("msg_old")
    turn_clock(KEPT + timedelta(minutes=1))
    assert await storage.add_delivery("msg_new")
    assert await storage.add_delivery("msg_old")
