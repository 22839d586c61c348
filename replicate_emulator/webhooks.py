"""Webhooks: what is sent when, signed as Standard Webhooks says."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from llamakeep.domain import new_id
from replicate_emulator.post import post
from replicate_emulator.predictions import Prediction
from replicate_emulator.routes.rendering import rendered
from replicate_emulator.settings import EmulatorSettings

DEFAULT_EVENTS = ("output", "completed")
"""What is sent to those who did not choose; as Replicate's documentation words it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook that was sent, or at least tried."""

    id: str
    prediction_id: str
    url: str
    event: str
    status: int | None
    """What the receiver answered, if it did."""
    at: float


def signature(secret: str, message_id: str, sent_at: int, body: bytes) -> str:
    """Return the `webhook-signature` of a message."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{sent_at}.".encode() + body
    digest = hmac.digest(key, signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


class Webhooks:
    """
    Tells the receivers of webhooks how their predictions are getting on.

    Args:
        settings: Returns the settings as they are at the moment.
    """

    def __init__(self, settings: Callable[[], EmulatorSettings]) -> None:
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()
        self._deliveries: deque[Delivery] = deque(maxlen=10_000)

    def follow(self, prediction: Prediction) -> None:
        """Begin to send webhooks about `prediction`."""
        task = asyncio.get_running_loop().create_task(self._follow(prediction))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def deliveries(self) -> list[dict[str, Any]]:
        """Return what was sent lately, oldest first."""
        return [asdict(delivery) for delivery in self._deliveries]

    def close(self) -> None:
        """Send nothing any more."""
        for task in self._tasks:
            task.cancel()

    async def _follow(self, prediction: Prediction) -> None:
        wanted = prediction.webhook_events_filter
        wanted = list(DEFAULT_EVENTS) if wanted is None else wanted
        told = {"logs": 0, "output": 0}
        with prediction.followed() as changed:
            if "start" in wanted:
                await self._send(prediction, "start")
            while not prediction.ended.is_set():
                changed.clear()
                known = {
                    "logs": len(prediction.logs),
                    "output": len(prediction.deltas),
                }
                new = [each for each in known if known[each] != told[each]]
                told = known
                events = [each for each in new if each in wanted]
                for event in events:
                    await self._send(prediction, event)
                if events:
                    await self._pause(prediction)
                else:
                    await changed.wait()
        if "completed" in wanted and prediction.is_final:
            await self._send(prediction, "completed", is_last=True)

    async def _pause(self, prediction: Prediction) -> None:
        try:
            async with asyncio.timeout(self._settings().webhook_interval):
                await prediction.ended.wait()
        except TimeoutError:
            pass

    async def _send(
        self, prediction: Prediction, event: str, *, is_last: bool = False
    ) -> None:
        settings = self._settings()
        body = json.dumps(rendered(prediction)).encode()
        message_id = new_id("msg_")
        for wait in (0.0, *settings.webhook_backoff) if is_last else (0.0,):
            await asyncio.sleep(wait)
            status = await self._post(prediction, message_id, event, body)
            if status is not None and status < 400:
                return

    async def _post(
        self, prediction: Prediction, message_id: str, event: str, body: bytes
    ) -> int | None:
        settings = self._settings()
        url = prediction.webhook or ""
        sent_at = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(sent_at),
            "webhook-signature": signature(
                settings.webhook_secret, message_id, sent_at, body
            ),
        }
        status = await post(url, headers, body, seconds=settings.webhook_timeout)
        self._deliveries.append(
            Delivery(message_id, prediction.id, url, event, status, time.time())
        )
        return status
