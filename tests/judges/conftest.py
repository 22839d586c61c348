"""Other people's agents, unchanged, against a real server: `make judges` runs them."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import Runner
from tests.judges.judge import Judge, judging
from tests.judges.model import Caller
from tests.sdk.site import ToolSite
from tests.tool_upstream import open_upstream

if sys.platform == "win32":
    pytest.skip("The runner forks.", allow_module_level=True)


@pytest.fixture(scope="session")
def python() -> Callable[[str], str]:
    """Return the interpreter of an environment; they conflict with our own."""
    folder = os.environ.get("LLAMAKEEP_TEST_JUDGES")
    if folder is None:
        pytest.skip("The judges have environments of their own: make judges.")

    def interpreter(environment: str) -> str:
        found = Path(folder).absolute() / environment / "bin" / "python"
        assert found.exists(), f"There is no {found}: make judges installs it."
        return str(found)

    return interpreter


@pytest.fixture(scope="session")
def judged_site(
    python: Callable[[str], str],  # noqa: ARG001 - skips before a server is started
    runner: Runner,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ToolSite]:
    """A server whose model calls all tools; earlier runs are in the history."""
    with open_upstream(Caller) as upstream:
        site = ToolSite(runner, tmp_path_factory.mktemp("judged"), upstream)
        yield site
        site.close()


@pytest.fixture(scope="module")
def judge(
    request: pytest.FixtureRequest,
    python: Callable[[str], str],
    judged_site: ToolSite,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Judge]:
    """The program that the module names as `PROGRAM`."""
    folder = tmp_path_factory.mktemp("judge")
    with judging(request.module.PROGRAM, python, judged_site, folder) as judge:
        yield judge
