"""The access log: a line for each request, when its response has ended."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO

from llamakeep.logs.context import Served
from llamakeep.settings.values import LogFormat

LOGGER = "llamakeep.access"
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that programs ask for every few seconds."""

LARGEST_WRITE = 4096
"""
Bytes that are written by one call, unless a single line has more. Of so many, a pipe
takes all or none at once: lines of several processes do not mix.
"""

LONGEST_WAIT = 0.05
"""Seconds after which a line is written at the latest; a killed process loses them."""

MOST_WAITING = 64
"""How many lines wait at most."""

Ended = tuple[Any, ...]
"""What a line has; a plain tuple takes a third of the time of a named one."""


class AccessLog:
    """
    Writes what was asked for and how it was answered, never what was in it.

    It holds no address, query string, header, body or name. Its lines look like those
    of the log, but are no records: making one would take longer than all of this. They
    are made and written together, which takes half of the time.

    Args:
        stream: Where lines are written.
        log_format: What a line looks like.
        with_process: Whether it names this process.
        has_probes: Whether successful requests for `PROBES` have lines, too.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        log_format: LogFormat = "line",
        with_process: bool = False,
        has_probes: bool = False,
    ) -> None:
        self._stream = stream
        self._lines_of = self._json if log_format == "json" else self._text
        self._pid = os.getpid() if with_process else None
        self._has_probes = has_probes
        self._ended: list[Ended] = []
        """The requests whose lines are not written yet."""
        self._is_due = False

    def write(
        self,
        served: Served,
        *,
        method: str | None = None,
        route: str | None = None,
        status: int | None,
        size: int,
        seconds: float | None = None,
        is_whole: bool = True,
    ) -> None:
        """
        Write the line of a request, within `LONGEST_WAIT`.

        Args:
            served: Its id, its user, and the run that it began.
            method: `None` if the request could not be read.
            route: The path with names in place of ids; `None` if there is no such path,
                or the request was refused before.
            status: `None` if the client left before a response began.
            size: How many bytes of the response's body were sent.
            seconds: From the end of the request's head to the end of the response.
            is_whole: Whether all of the response was sent.
        """
        if not self._has_probes and route in PROBES and (status or 500) < 400:
            return
        self._ended.append(
            (
                time.time(),
                method,
                route,
                status,
                seconds,
                size,
                is_whole,
                served.user_id,
                served.run_id,
                served.request_id,
            )
        )
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(LONGEST_WAIT, self._flush_due)
        elif len(self._ended) == MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write the lines that are not written yet."""
        ended, self._ended = self._ended, []
        lines: list[str] = []
        size = 0
        for line in self._lines_of(ended):
            if size + len(line) > LARGEST_WRITE:
                self._write(lines)
                size = 0
            lines.append(line)
            size += len(line)
        self._write(lines)

    def _flush_due(self) -> None:
        self._is_due = False
        self.flush()

    def _write(self, lines: list[str]) -> None:
        if lines:
            with suppress(OSError, ValueError):  # a request does not fail with its line
                self._stream.write("".join(lines))
                self._stream.flush()
            lines.clear()

    def _text(self, ended: Sequence[Ended]) -> Iterator[str]:
        pid = self._pid
        for at, method, route, status, seconds, size, is_whole, *ids in ended:
            took = "" if seconds is None else f" ms={round(seconds * 1000, 1)}"
            whole = "" if is_whole else " incomplete"
            user = f" user={ids[0]}" if ids[0] else ""
            run = f" run={ids[1]}" if ids[1] else ""
            yield (
                f"{_second(int(at))}.{int(at % 1 * 1000):03d}Z"
                f"{_text_head(pid, method, route, status)}{took} bytes={size}"
                f"{whole}{user}{run} request={ids[2]}\n"
            )

    def _json(self, ended: Sequence[Ended]) -> Iterator[str]:
        # None of these values needs escaping, and an encoder takes as long as all.
        pid = self._pid
        for at, method, route, status, seconds, size, is_whole, *ids in ended:
            took = "null" if seconds is None else round(seconds * 1000, 1)
            user = f'"{ids[0]}"' if ids[0] else "null"
            run = f'"{ids[1]}"' if ids[1] else "null"
            yield (
                f'{{"time": "{_second(int(at))}.{int(at % 1 * 1000):03d}Z"'
                f', {_json_head(pid, method, route, status)}, "ms": {took}'
                f', "bytes": {size}, "complete": {"true" if is_whole else "false"}'
                f', "user_id": {user}, "run_id": {run}, "request_id": "{ids[2]}"}}\n'
            )


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache
def _text_head(
    pid: int | None, method: str | None, route: str | None, status: int | None
) -> str:
    process = "" if pid is None else f" [{pid}]"
    asked = f"{method or '-'} {route or '-'} {status or '-'}"
    return f"{process} INFO {LOGGER}: {asked}"


@lru_cache
def _json_head(
    pid: int | None, method: str | None, route: str | None, status: int | None
) -> str:
    process = "" if pid is None else f', "process": {pid}'
    asked = f"{method or '-'} {route or '-'} {status or '-'}"
    told_method = f'"{method}"' if method else "null"
    told_route = f'"{route}"' if route else "null"
    told_status = status or "null"
    return (
        f'"level": "INFO", "logger": "{LOGGER}", "message": "{asked}"{process}'
        f', "method": {told_method}, "route": {told_route}, "status": {told_status}'
    )
