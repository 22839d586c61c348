"""Other people's client libraries, unchanged, against the real server."""

import sys
from collections.abc import Iterator

import pytest

from llamakeep.emulator import EmulatorSettings, open_emulator
from tests.acceptance.processes import Runner
from tests.emulator.driver import AT_ONCE, Driver
from tests.sdk.site import Site

if sys.platform == "win32":
    pytest.skip("The runner forks.", allow_module_level=True)


@pytest.fixture(scope="session")
def one_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("sdk")
    with open_emulator(EmulatorSettings.model_validate(AT_ONCE)) as origin:
        runner, replicate = Runner(folder), Driver(origin)
        site = Site(runner, folder, replicate)
        yield site
        site.close()
        replicate.close()
        runner.close()


@pytest.fixture
def site(one_site: Site) -> Site:
    """A running server whose model echoes; earlier tests' runs are in the history."""
    one_site.replicate.reset()
    return one_site
