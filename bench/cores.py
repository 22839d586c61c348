"""Which core a process of the benchmark runs on: servers on one, load on another."""

import os
from collections.abc import Coroutine
from typing import Any

import uvloop


def pin_to_server_core() -> None:
    _pin(0)


def pin_to_load_core() -> None:
    _pin(-1)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on the fast loop: what measures must not be what is measured."""
    uvloop.run(main)


def _pin(which: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[which]})
