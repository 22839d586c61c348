"""
Which tests are run, and the guards of all; what they share is in `tests.fixtures`.

A test is quick, or it is marked `slow`: by its folder, by a fixture that it uses, or by
itself. With `--quick`, as `make test` says it, the slow ones are left out, and of the
cases of a parametrized test all but the first. With `--others`, those are left out that
are run by `--quick`; tests with made-up examples are run by both, there by a few.
"""

import gc
import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import pytest

from tests.guards import refuse_outside_connections, refuse_programs

refuse_outside_connections()

TESTS = Path(__file__).parent
WHOLE_FOLDERS = {"acceptance", "judges", "page", "release", "sdk"}
SLOW_FIXTURES = {"certificate", "local_settings", "postgres_server", "valkey_server"}
"""What starts programs; whoever forgets one here is told by the guard."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    is_left_out = config.getoption("quick") and collection_path.name in WHOLE_FOLDERS
    return True if is_left_out else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="run the quick tests only")
    parser.addoption(
        "--others", action="store_true", help="run those that --quick leaves out"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("quick"):
        keep_files_in_memory()
    # Who only hands tests out to workers need not import, for seconds, what they do.
    if not hands_out_tests(config):
        config.pluginmanager.import_plugin("tests.fixtures")
        take_examples(is_quick=config.getoption("quick"))


def hands_out_tests(config: pytest.Config) -> bool:
    return config.option.dist != "no" and not hasattr(config, "workerinput")


def take_examples(*, is_quick: bool) -> None:
    """Let made-up examples take as long as they do: the machine may be busy."""
    from hypothesis import HealthCheck, settings  # noqa: PLC0415 - only who runs tests

    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("all", patient)
    settings.register_profile("quick", patient, max_examples=20)
    settings.load_profile("quick" if is_quick else "all")


def keep_files_in_memory() -> None:
    """Have `tmp_path` where syncing to a disk costs nothing, if there is much room."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Iterator[None]:
    yield
    if metafunc.config.getoption("quick"):
        # Making thousands of items, to leave them out, takes seconds in each worker.
        cases = metafunc._calls
        cases[:] = [one for one in cases if not has_slow(one.marks)][:1] or cases[:1]


def has_slow(marks: Iterable[pytest.Mark | pytest.MarkDecorator]) -> bool:
    return any(mark.name == "slow" for mark in marks)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # All that is collected stays: looking for garbage in it took a tenth of the time.
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        fixtures = getattr(item, "fixturenames", ())
        if any("postgres" in name for name in (item.nodeid, *fixtures)):
            item.add_marker("postgres")
        if folder in WHOLE_FOLDERS or not SLOW_FIXTURES.isdisjoint(fixtures):
            item.add_marker("slow")
    chosen = items
    if config.getoption("quick"):
        chosen = quick_ones(items)
    elif config.getoption("others"):
        quick = set(quick_ones(items))
        chosen = [one for one in items if one not in quick or has_made_up_examples(one)]
    config.hook.pytest_deselected(items=set(items) - set(chosen))
    items[:] = chosen


def quick_ones(items: list[pytest.Item]) -> list[pytest.Item]:
    """Tell the first case of each test whose cases are not all slow."""
    first: dict[str, pytest.Item] = {}
    for item in items:
        if not is_slow(item):
            first.setdefault(item.nodeid.partition("[")[0], item)
    return list(first.values())


def has_made_up_examples(item: pytest.Item) -> bool:
    return item.get_closest_marker("hypothesis") is not None


def is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with refuse_programs(unless=is_slow(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with refuse_programs(unless=is_slow(item)):
        return (yield)
