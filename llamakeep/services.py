"""What the application hands its routes and its server."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from llamakeep.credentials.passwords import Passwords
from llamakeep.deletion.users import Purging
from llamakeep.engine import Engine
from llamakeep.engine.gauges import Gauges
from llamakeep.engine.providers import Figures
from llamakeep.engine.routing.access import Access
from llamakeep.limits.readers import Readers
from llamakeep.limits.throttle import Throttle
from llamakeep.logs.access import AccessLog
from llamakeep.metrics.families import Snapshot, snapshot_of, text_of
from llamakeep.metrics.metrics import Metrics
from llamakeep.nodes.listening import Listening
from llamakeep.providers.described import KnownModels
from llamakeep.providers.registry import Registry
from llamakeep.providers.reloading import Reloading
from llamakeep.schemas.problem import Problem
from llamakeep.settings import Settings
from llamakeep.storage import Storage

if TYPE_CHECKING:
    from llamakeep.sign_in.oidc import OpenIdConnect

Dialect = Callable[[Problem, dict[str, str], str], Response]
"""
Renders a problem as another API does, such as OpenAI's; it may add to the headers.

The third argument is the path prefix that a proxy puts before this server's paths.
"""


@dataclass
class Setup:
    """The token with which the first administrator may be created."""

    token_digest: bytes | None = None
    """Of the set-up token; `None` if none was offered, or it was used."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """All that lives as long as the application; its lifespan creates and closes it."""

    settings: Settings
    storage: Storage
    registry: Registry
    engine: Engine
    passwords: Passwords
    throttle: Throttle
    purging: Purging
    metrics: Metrics
    """What this process has counted."""
    gauges: Gauges
    access: Access
    """What users may ask."""
    models: KnownModels
    """What is known of models and aliases."""
    figures: Figures
    """What providers do and cost."""
    count_all: Callable[[], Awaitable[Snapshot]]
    """Returns what all workers have counted together."""
    dialect_of: Callable[[Request], Dialect | None]
    """How errors are rendered for a request, unless as this server's own."""
    long_bodies: Collection[str]
    """Paths whose bodies may take long to arrive."""
    sign_in: "OpenIdConnect | None" = None
    """Signs users in through an identity provider, if there is one."""
    access_log: AccessLog | None = None
    """Gets a line for each request."""
    reloading: Reloading | None = None
    """Reads `llamakeep.toml` anew; `None` if the providers come from elsewhere."""
    for_nodes: tuple[ASGIApp, Listening] | None = None
    """What other nodes on this database reach, and where."""
    readers: Readers = field(default_factory=Readers)
    setup: Setup = field(default_factory=Setup)

    async def metrics_text(self) -> str:
        """Return the metrics of all workers together, in Prometheus's text format."""
        shared = await self.gauges.read()
        counted = await self.count_all()
        own = await self.metrics.collect()
        families = [each.family for each in (*own, *shared)]
        return text_of(families, {**counted, **snapshot_of(shared)})


def services_of(request: Request) -> Services:
    """Return the services of the application that got `request`."""
    # As an attribute, it would be looked for in vain first: 2 µs.
    return request.app.state["services"]  # type: ignore[no-any-return] # Starlette's
