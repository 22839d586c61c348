"""The access log: a line for each request, when its response has ended."""

import asyncio
import os
import time
from contextlib import suppress
from functools import lru_cache
from typing import TextIO

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


class AccessLog:
    """
    Writes what was asked for and how it was answered, never what was in it.

    It holds no address, query string, header, body or name. Its lines look like those
    of the log, but are no records: making one would take longer than all of this. All
    lines of an event loop's iteration are written together in the next one, since a
    write takes longer than a line.

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
        self._is_json = log_format == "json"
        self._head = _json_head if self._is_json else _text_head
        self._pid = os.getpid() if with_process else None
        self._has_probes = has_probes
        self._second = -1
        self._moment = ""
        self._lines: list[str] = []
        """Those that are not written yet."""

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
        Write the line of a request, in the event loop's next iteration.

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
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        moment = f"{self._moment}.{int((now - second) * 1000):03d}Z"
        head = self._head(self._pid, method, route, status)
        ms = None if seconds is None else round(seconds * 1000, 1)
        if self._is_json:
            # None of these values needs escaping, and an encoder takes as long as all.
            user = f'"{served.user_id}"' if served.user_id else "null"
            run = f'"{served.run_id}"' if served.run_id else "null"
            line = (
                f'{{"time": "{moment}", {head}, "ms": {"null" if ms is None else ms}'
                f', "bytes": {size}, "complete": {"true" if is_whole else "false"}'
                f', "user_id": {user}, "run_id": {run}'
                f', "request_id": "{served.request_id}"}}\n'
            )
        else:
            took = "" if ms is None else f" ms={ms}"
            whole = "" if is_whole else " incomplete"
            user = f" user={served.user_id}" if served.user_id else ""
            run = f" run={served.run_id}" if served.run_id else ""
            line = (
                f"{moment}{head}{took} bytes={size}{whole}{user}{run}"
                f" request={served.request_id}\n"
            )
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(line)

    def flush(self) -> None:
        """Write the lines that are not written yet."""
        lines, self._lines = self._lines, []
        begin = size = 0
        for place, line in enumerate(lines):
            size += len(line)
            if size > LARGEST_WRITE and place > begin:
                self._write(lines[begin:place])
                begin, size = place, len(line)
        if lines:
            self._write(lines[begin:])

    def _write(self, lines: list[str]) -> None:
        with suppress(OSError, ValueError):  # a request does not fail with its line
            self._stream.write("".join(lines))
            self._stream.flush()


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
