"""What signals mean to a process that serves."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)

Handler = Callable[[int, FrameType | None], Any]

STOPPING = ("SIGINT", "SIGTERM", "SIGQUIT", "SIGBREAK")
HANGUP = "SIGHUP"
WITHOUT_MEANING = ("SIGUSR1", "SIGUSR2")


@contextmanager
def handled(
    stop: Handler, *, reload: Handler | None = None, until_exit: bool = False
) -> Iterator[None]:
    """
    Have `stop` called when the process is to stop; other signals do not end it.

    SIGHUP means that the terminal was closed, and stops the server as SIGTERM does; to
    a service, which has no terminal, it says that a file has changed.

    Args:
        stop: Takes the signal's number, as `signal.signal` calls it. A terminal that is
            closed may say so more than once.
        reload: Takes SIGHUP where there is no terminal; by default, it has no meaning.
        until_exit: Whether the process ends behind this: then a signal that comes late
            has no meaning any more, rather than its old one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted: dict[int, Handler] = {}
    for name, handler in [
        *((name, stop) for name in STOPPING),
        *((name, _ignore) for name in WITHOUT_MEANING),
        (HANGUP, stop if _has_terminal() else reload or _ignore),
    ]:
        number = getattr(signal, name, None)  # Windows has few of them
        # A process that was started with `nohup` is to outlive its terminal.
        is_ignored = number and signal.getsignal(number) is signal.SIG_IGN
        if number and not (is_ignored and name == HANGUP):
            wanted[number] = handler
    earlier: dict[int, Any] = {
        number: signal.signal(number, wanted[number]) for number in wanted
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, signal.SIG_IGN if until_exit else handler)


def _ignore(number: int, _: FrameType | None) -> None:
    log.info("%s has no meaning here", signal.Signals(number).name)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except (OSError, AttributeError):
        return False
    return True
