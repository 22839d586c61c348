"""Identity providers, and browsers that sign in through them."""

from collections.abc import AsyncIterator

import pytest

from llamakeep.settings import Settings
from tests.api.accounts.identity_provider import (
    Browser,
    IdentityProvider,
    running_provider,
)
from tests.api.accounts.logins import enrol
from tests.api.serving import connect
from tests.fakes import ScriptedProvider


@pytest.fixture
async def identities() -> AsyncIterator[IdentityProvider]:
    async with running_provider() as provider:
        yield provider


@pytest.fixture
async def browser(
    real: Settings, identities: IdentityProvider
) -> AsyncIterator[Browser]:
    """A browser at a server with that provider, and with carol's password."""
    async with connect(identities.settings(real), ScriptedProvider()) as client:
        await enrol(client)
        yield Browser(client, identities)
