"""Webhooks that Replicate sends: what they say, and what they are signed with."""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from llamakeep.errors import ProviderAnswerInvalid, ProviderError
from llamakeep.providers.replicate.api import ReplicateApi
from llamakeep.providers.replicate.predictions import read_prediction

WEBHOOK_PATH = "/webhooks/replicate"
"""Where this server takes them, below its public URL."""

ASK_EVERY = 60.0
"""Seconds between two times that Replicate is asked for the secret."""


log = logging.getLogger(__name__)


class Hint(NamedTuple):
    """Which prediction is said to be which run's."""

    run_id: str
    handle: str


def read_hint(body: bytes) -> Hint | None:
    """Return what a webhook says, if it is about a run."""
    try:
        prediction = read_prediction(body)
    except ProviderAnswerInvalid:
        return None
    run_ids = prediction.webhook.get("run")
    return Hint(run_ids[0], prediction.id) if run_ids else None


class WebhookSecret:
    """What Replicate signs this account's webhooks with."""

    def __init__(
        self,
        api: ReplicateApi,
        given: str | None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._api = api
        self._known = given
        self._is_given = given is not None
        self._clock = clock
        self._asked_at: float | None = None
        self._trouble: ProviderError | None = None
        self._lock = asyncio.Lock()

    async def get(self, *, instead_of: str | None = None) -> str:
        """
        Return the secret.

        One that was returned before and does not fit is `instead_of`: it may have been
        changed. The same is returned if Replicate was asked a moment ago.

        Raises:
            ProviderError: It is not known, and Replicate cannot be asked.
        """
        async with self._lock:
            is_wanted = self._known is None or self._known == instead_of
            if is_wanted and not self._is_given and self._may_ask():
                self._asked_at = self._clock()
                self._trouble = None
                try:
                    self._known = await self._api.webhook_secret()
                except ProviderError as error:
                    log.warning("webhooks cannot be checked: %s", error.detail)
                    self._trouble = error
            if self._known is not None:
                return self._known
        assert self._trouble is not None
        raise self._trouble

    def _may_ask(self) -> bool:
        return self._asked_at is None or self._clock() - self._asked_at >= ASK_EVERY
