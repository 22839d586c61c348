"""Scheduling of threads that must not preempt the event loop."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def background_threads() -> Iterator[None]:
    """
    Start threads within this block with the batch scheduling policy.

    Where both have one core, Linux would interrupt the loop whenever such a thread has
    something to do; it then waits for the interpreter, and both have lost their caches.
    Measured with 64 clients on one core, that was a fifth of the CPU time.
    """
    is_changed = False
    with suppress(AttributeError, OSError):  # another system, or not allowed
        # Another policy than the default was chosen by the operator.
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            is_changed = True
    try:
        yield  # a thread begins with what its creator has
    finally:
        if is_changed:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
