from collections.abc import Iterator

import pytest

from replicate_emulator import EmulatorSettings, open_emulator
from tests.emulator.driver import AT_ONCE, Driver


@pytest.fixture(scope="session")
def emulator_origin() -> Iterator[str]:
    with open_emulator(EmulatorSettings.model_validate(AT_ONCE)) as origin:
        yield origin


@pytest.fixture
def emulator(emulator_origin: str) -> Iterator[Driver]:
    """An emulator that knows nothing yet and answers at once."""
    driver = Driver(emulator_origin)
    driver.reset()
    yield driver
    driver.close()
