"""Reading `llamakeep.toml` anew while the server runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from llamakeep.providers.base import Provider
from llamakeep.providers.creating import providers_of, registry_of
from llamakeep.providers.local.supervisor import Supervisor
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import (
    Reading,
    Upstreams,
    read_anew,
    reading_again,
)

log = logging.getLogger(__name__)


class Reloading:
    """
    Gives the registry what the file says now; a file with mistakes changes nothing.

    Runs under way keep the provider that they have. One that is the same in the file is
    the same afterwards, with its connections and with what it has learnt.

    Args:
        settings: The server's settings.
        registry: What is changed.
        said: What the file said when the registry was created.
        supervisor: Runs the embedded model; by default, this process does.
        in_use: Returns the providers of the runs that are worked on.
        changed: Takes the names of the upstreams that are new, other ones or gone.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        said: Upstreams,
        *,
        supervisor: Supervisor | None,
        in_use: Callable[[], Collection[Provider | None]],
        changed: Callable[[Collection[str]], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._said = said
        self._supervisor = supervisor
        self._in_use = in_use
        self._changed = changed
        self._order = asyncio.Lock()

    async def reload(self, reading: Reading | None = None) -> None:
        """Have the registry follow the file, which may be read in another way."""
        async with self._order:
            again = reading_again(self._settings, self._said.path)
            said = await read_anew(reading or again)
            if said is None:
                return
            before, known = self._said, self._registry.by_name
            providers = await asyncio.to_thread(
                providers_of,
                self._settings,
                said,
                self._supervisor,
                before=before,
                known=known,
            )
            new = await asyncio.to_thread(registry_of, self._settings, said, providers)
            self._registry.become(new)
            self._said = said
            names = known.keys() | providers.keys()
            await self._changed(
                [name for name in names if known.get(name) is not providers.get(name)]
            )
            if before.local != said.local:
                log.warning("what is new of upstreams.local counts at the next start")
            log.info(
                "the upstreams are: %s; the aliases: %s",
                ", ".join(providers) or "none",
                ", ".join(said.aliases) or "none",
            )
            await self._registry.close_retired(self._in_use())
