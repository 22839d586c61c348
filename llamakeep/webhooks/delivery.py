"""Delivery of webhooks about runs, with retries."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from llamakeep.domain import Notification, NotificationStatus, Run
from llamakeep.errors import StorageUnavailable
from llamakeep.metrics.metrics import Metrics
from llamakeep.repeated import Repeated
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.notifications import Due
from llamakeep.webhooks.posting import Outcome, Poster
from llamakeep.webhooks.signing import signed_headers

PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0)
"""Seconds before each retry; after the last one, the webhook is given up."""

LOOK = 1.0
"""Seconds between two queries for due webhooks."""

DEADLINE = 10.0
"""Seconds that a receiver has to respond."""

AT_ONCE = 64
"""How many webhooks one process sends at the same time."""

AT_ONCE_PER_HOST = 4
"""How many of them to the same host."""

AT_ONCE_PER_USER = 16
"""How many of them for the same user, who may have any number of hosts."""

LAST_TRIES = 2
"""Seconds that requests in flight may take when the process stops."""

_GONE = 410

Render = Callable[[Notification, Run], bytes]
"""Returns the body of a webhook."""

log = logging.getLogger(__name__)


class Notifier:
    """
    Sends due webhooks; all servers of a database share the work.

    A webhook is sent at least once, and again if it is unknown whether it arrived:
    receivers can recognise a repetition by its id.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        poster: Poster,
        render: Render,
        metrics: Metrics | None = None,
    ) -> None:
        self._tries = (metrics or Metrics()).webhooks
        self._storage = storage
        self._poster = poster
        self._render = render
        self._lease = settings.lease
        # Another server must not take it over, after its lease, before the deadline.
        self._deadline = min(DEADLINE, settings.lease / 2)
        self._sending: set[asyncio.Task[None]] = set()
        self._hosts: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        self._task = Repeated("sending webhooks", self._begin, every=LOOK)

    def open(self) -> None:
        """Start the task that sends webhooks."""
        self._task.open(at_once=True)

    async def close(self) -> None:
        """Stop the task, and wait a moment for requests in flight."""
        await self._task.close()
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=LAST_TRIES)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _begin(self) -> None:
        if len(self._sending) == AT_ONCE:
            return
        if not await self._storage.is_any_notification_due():
            return
        while True:
            claimed = await self._storage.claim_notifications(
                most=AT_ONCE - len(self._sending),
                busy_hosts=_at_least(AT_ONCE_PER_HOST, self._hosts),
                busy_users=_at_least(AT_ONCE_PER_USER, self._users),
                lease=self._lease,
            )
            for due in claimed:
                self._hosts[due.notification.host] += 1
                self._users[due.run.user_id] += 1
                task = asyncio.create_task(self._send(due))
                self._sending.add(task)
                task.add_done_callback(partial(self._discard, due))
            if not claimed or len(self._sending) == AT_ONCE:
                return

    async def _send(self, due: Due) -> None:
        notification = due.notification
        try:
            await self._settle(notification, await self._try(due))
        except StorageUnavailable as error:
            # The webhook is due again when its lease has expired. That the database
            # fails is logged where it is found out.
            log.info("could not store a webhook's state: %s", error.detail)
        except Exception:
            log.exception("could not finish a webhook about run %s", due.run.id)

    async def _try(self, due: Due) -> Outcome:
        notification = due.notification
        try:
            body = self._render(notification, due.run)
            headers = signed_headers(
                notification.id, body, due.secrets.now(), now=time.time()
            )
            return await self._poster.post(
                notification.url,
                {"content-type": "application/json", **headers},
                body,
                seconds=self._deadline,
            )
        except Exception:
            log.exception("a bug prevented a webhook about run %s", due.run.id)
            return Outcome(trouble="The server has a bug; its log says more.")

    def _discard(self, due: Due, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._hosts -= Counter([due.notification.host])  # removes counts of 0
        self._users -= Counter([due.run.user_id])
        self._task.wake()

    async def _settle(self, notification: Notification, outcome: Outcome) -> None:
        log.info(
            "webhook to %s: %s, try %s",
            notification.host,
            outcome.status or outcome.trouble,
            notification.tries,
        )
        if outcome.is_delivered:
            self._tries.add("delivered")
            await self._storage.settle_notification(
                notification, NotificationStatus.DELIVERED
            )
            return
        pause = next_pause(notification.tries, outcome)
        self._tries.add("given-up" if pause is None else "failed")
        await self._storage.settle_notification(
            notification,
            NotificationStatus.GIVEN_UP
            if pause is None
            else NotificationStatus.WAITING,
            error=outcome.trouble or f"The receiver answered {outcome.status}.",
            pause=pause,
        )


def _at_least(limit: int, counts: Counter[str]) -> Sequence[str]:
    return [name for name, count in counts.items() if count >= limit]


def next_pause(tries: int, outcome: Outcome) -> float | None:
    """
    Return the seconds until the next try, or `None` if the webhook is given up.

    A receiver's `Retry-After` is followed within bounds; 410 ends all tries.
    """
    if outcome.status == _GONE or tries > len(PAUSES):
        return None
    if outcome.retry_after is not None:
        return min(max(outcome.retry_after, PAUSES[0]), PAUSES[-1])
    # Jitter: webhooks that failed together should not be sent again together.
    return PAUSES[tries - 1] * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
