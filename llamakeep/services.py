"""What the application hands its routes and its server."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from llamakeep.credentials.passwords import Passwords
from llamakeep.deletion.users import Purging
from llamakeep.engine import Engine
from llamakeep.limits.readers import Readers
from llamakeep.limits.throttle import Throttle
from llamakeep.providers.registry import Registry
from llamakeep.schemas.problem import Problem
from llamakeep.settings import Settings
from llamakeep.storage import Storage

Dialect = Callable[[Problem, dict[str, str], str], Response]
"""Renders a problem, with these headers, below this path prefix."""


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
    dialects: Mapping[str, Dialect]
    """By the beginning of a path: how errors are rendered there."""
    long_bodies: Collection[str]
    """Paths whose bodies may take long to arrive."""
    readers: Readers = field(default_factory=Readers)
    setup: Setup = field(default_factory=Setup)


def services_of(request: Request) -> Services:
    """Return the services of the application that got `request`."""
    return request.app.state.services  # type: ignore[no-any-return] # Starlette's
