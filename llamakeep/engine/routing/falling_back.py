"""What becomes of a run whose provider has begun nothing: another one, or waiting."""

import logging
from contextlib import suppress
from dataclasses import replace

from llamakeep.domain import RunEvent, utc_now
from llamakeep.domain.routes import left_of, moved_on
from llamakeep.domain.states import follow
from llamakeep.engine.circuits import Circuits
from llamakeep.engine.live import LiveRun
from llamakeep.engine.retries import Retries
from llamakeep.engine.routing.choosing import CIRCUIT_OPEN
from llamakeep.errors import LlamaKeepError, NoProvider, ProviderError
from llamakeep.providers.base import Provider, is_reattachable
from llamakeep.providers.registry import Registry
from llamakeep.storage import Storage

log = logging.getLogger(__name__)


class Fallback:
    """
    Hands runs on to the next model of their alias, or lets them wait.

    The former is kept before the model is asked: after a crash, what may have begun to
    answer is where the run is said to be, and nowhere else.
    """

    def __init__(
        self,
        storage: Storage,
        registry: Registry,
        circuits: Circuits,
    ) -> None:
        self._storage = storage
        self._registry = registry
        self._circuits = circuits

    async def after(self, live: LiveRun, error: LlamaKeepError) -> bool:
        """Have the next model asked, if it is certain that this one is not paid."""
        if isinstance(error, ProviderError) and not error.was_connected:
            self._circuits.not_connected(live.run.provider)
        if live.is_answering or live.is_lost or live.run.handle is not None:
            return False
        if not is_unpaid(live.provider, error):
            return False
        return await self._to_next(live, error.code, was_asked=error_was_asked(error))

    async def of_open_circuit(self, live: LiveRun) -> bool:
        """Make a run the probe of an open circuit, or have the next model asked."""
        if not left_of(live.run.parameters):
            return False
        return await self._circuits.upstreams.probes(live.run) or await self._to_next(
            live, CIRCUIT_OPEN, was_asked=False
        )

    async def requeue(self, live: LiveRun) -> None:
        """Let a run wait so that, after a crash, its answer is not looked for."""
        transition = follow(live.run.status, RunEvent.REQUEUE)
        run = live.run
        if not await Retries(live).until_done(lambda: self._storage.requeue(run)):
            live.lose()
        live.run = replace(live.run, status=transition.status, started_at=None)
        live.was_begun = False
        if live.feed is not None:
            live.feed.changed(run.id)

    async def _to_next(self, live: LiveRun, reason: str, *, was_asked: bool) -> bool:
        """Keep that the next model is asked; return whether there is one."""
        run = live.run
        while left_of(run.parameters):
            run = moved_on(run, reason, was_asked=was_asked)
            with suppress(NoProvider):
                provider = self._registry.provider(run.provider)
                break
            # The file was read anew, and has this one no more.
            reason, was_asked = NoProvider.code, False
        else:
            return False
        if run.started_at is not None:
            run = replace(run, started_at=utc_now())
        is_mine = await Retries(live).until_done(lambda: self._storage.fall_back(run))
        if not is_mine:
            live.lose()
            return True
        log.info(
            "run %s: %s:%s is asked instead of %s:%s (%s)",
            run.id,
            run.provider,
            run.model,
            live.run.provider,
            live.run.model,
            reason,
        )
        live.run, live.provider, live.was_begun = run, provider, False
        if live.feed is not None:
            live.feed.changed(run.id)
        return True


def error_was_asked(error: LlamaKeepError) -> bool:
    """Return whether the model was sent the prompt, or that was tried."""
    if isinstance(error, ProviderError):
        return error.was_tried
    return not isinstance(error, NoProvider)


def is_unpaid(provider: Provider | None, error: LlamaKeepError) -> bool:
    """
    Return whether it is certain that nothing is paid for the prompt that this ended.

    It came before the first event of an answer.
    """
    if isinstance(error, ProviderError) and error.answer_may_exist:
        return False
    if error.nothing_paid:
        return True
    if provider is None:
        return False
    if provider.is_free:
        return isinstance(error, ProviderError | NoProvider)
    # What a reattachable one was asked for may have been an answer that there is.
    return (
        isinstance(error, ProviderError)
        and not error.was_connected
        and not is_reattachable(provider)
    )
