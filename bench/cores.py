"""Which core a process of the benchmark runs on: servers on one, load on another."""

import os
import resource
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

Result = TypeVar("Result")


def pin_to_server_core(pid: int = 0) -> None:
    _pin(pid, 0)


def pin_to_load_core() -> None:
    _pin(0, -1)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run on the fast loop: what measures must not be what is measured."""
    return uvloop.run(main)


def allow_many_connections() -> None:
    """Let this process and its children open as many files as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _pin(pid: int, which: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {sorted(os.sched_getaffinity(0))[which]})
