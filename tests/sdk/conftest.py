"""Other people's client libraries, unchanged, against the real server."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from openai import AsyncOpenAI, OpenAI

from llamakeep.providers.local.weights import find_weights, has_engine
from replicate_emulator import EmulatorSettings, open_emulator
from tests.acceptance.processes import Runner
from tests.emulator.driver import AT_ONCE, Driver
from tests.emulator.receiver import open_receiver
from tests.providers.asking import settings
from tests.sdk.clients import async_openai_of, openai_of
from tests.sdk.site import Process, Site, ToolSite
from tests.tool_upstream import open_upstream

if sys.platform == "win32":
    pytest.skip("The runner forks.", allow_module_level=True)


@pytest.fixture(scope="session")
def one_site(
    runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with open_site(runner, tmp_path_factory.mktemp("sdk")) as site:
        yield site


@pytest.fixture
def own_site(runner: Runner, tmp_path: Path) -> Iterator[Site]:
    """Like `site`, for what may end logins or change limits."""
    with open_site(runner, tmp_path) as site:
        yield site


@contextmanager
def open_site(runner: Runner, folder: Path) -> Iterator[Site]:
    emulator = open_emulator(EmulatorSettings.model_validate(AT_ONCE))
    with emulator as origin, open_receiver(429) as busy:
        replicate = Driver(origin)
        site = Site(runner, folder, replicate, busy.url)
        yield site
        site.close()
        replicate.close()


@pytest.fixture(scope="session")
def one_tool_site(
    runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ToolSite]:
    with open_upstream() as upstream:
        site = ToolSite(runner, tmp_path_factory.mktemp("tools"), upstream)
        yield site
        site.close()


@pytest.fixture(scope="session")
def one_strict_site(
    runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ToolSite]:
    with open_upstream() as upstream:
        upstream.is_thinking = False
        folder = tmp_path_factory.mktemp("strict")
        site = ToolSite(
            runner,
            folder,
            upstream,
            require_model=True,
            openai_extra_fields=["min_p", "guided_json", "reasoning", "user"],
        )
        yield site
        site.close()


@pytest.fixture(scope="session")
def embedded(
    runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """A server with the embedded model; earlier runs are in the history."""
    if not has_engine() or find_weights(settings()) is None:
        pytest.skip("The embedded model is not installed; `make run` installs it.")
    server = Process(runner, tmp_path_factory.mktemp("embedded"), local_threads=1)
    yield server
    server.close()


@pytest.fixture
def strict_site(one_strict_site: ToolSite) -> ToolSite:
    """
    Like `tool_site`, but its model does not think.

    Requests have to name a model, and may have some fields of other servers.
    """
    one_strict_site.upstream.asked.clear()
    return one_strict_site


@pytest.fixture
def tool_site(one_tool_site: ToolSite) -> ToolSite:
    """A running server whose model calls tools; earlier runs are in the history."""
    one_tool_site.upstream.asked.clear()
    one_tool_site.upstream.may_answer.clear()
    return one_tool_site


@pytest.fixture
def site(one_site: Site) -> Site:
    """A running server whose model echoes; earlier tests' runs are in the history."""
    one_site.replicate.reset()
    return one_site


@pytest.fixture
def openai_client(site: Site) -> Iterator[OpenAI]:
    """Alice's client, which does not send anything twice."""
    with openai_of(site) as client:
        yield client


@pytest.fixture
async def async_openai_client(site: Site) -> AsyncIterator[AsyncOpenAI]:
    """Alice's asynchronous client, which does not send anything twice."""
    async with async_openai_of(site) as client:
        yield client
