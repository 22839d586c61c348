"""The access log: a line for each request, when its response has ended."""

import os
import time
from contextlib import suppress
from typing import TextIO

from llamakeep.logs.context import Served
from llamakeep.settings.values import LogFormat

LOGGER = "llamakeep.access"
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that programs ask for every few seconds."""


class AccessLog:
    """
    Writes what was asked for and how it was answered, never what was in it.

    It holds no address, query string, header, body or name. Its lines look like those
    of the log, but are no records: making one would take longer than all of this.

    Args:
        stream: Where lines are written, each by one call.
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
        pid = os.getpid()
        self._process = f" [{pid}]" if with_process else ""
        self._process_field = f', "process": {pid}' if with_process else ""
        self._has_probes = has_probes
        self._second = -1
        self._moment = ""

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
        Write the line of a request.

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
        ms = None if seconds is None else round(seconds * 1000, 1)
        if self._is_json:
            # None of these values needs escaping, and an encoder takes as long as all.
            told_method = f'"{method}"' if method else "null"
            told_route = f'"{route}"' if route else "null"
            user = f'"{served.user_id}"' if served.user_id else "null"
            run = f'"{served.run_id}"' if served.run_id else "null"
            line = (
                f'{{"time": "{moment}", "level": "INFO", "logger": "{LOGGER}"'
                f', "message": "{method or "-"} {route or "-"} {status or "-"}"'
                f'{self._process_field}, "method": {told_method}'
                f', "route": {told_route}, "status": {status or "null"}'
                f', "ms": {"null" if ms is None else ms}, "bytes": {size}'
                f', "complete": {"true" if is_whole else "false"}'
                f', "user_id": {user}, "run_id": {run}'
                f', "request_id": "{served.request_id}"}}'
            )
        else:
            took = "" if ms is None else f" ms={ms}"
            whole = "" if is_whole else " incomplete"
            user = f" user={served.user_id}" if served.user_id else ""
            run = f" run={served.run_id}" if served.run_id else ""
            line = (
                f"{moment}{self._process} INFO {LOGGER}: {method or '-'} "
                f"{route or '-'} {status or '-'}{took} bytes={size}{whole}{user}{run}"
                f" request={served.request_id}"
            )
        with suppress(OSError, ValueError):  # a request does not fail with its line
            self._stream.write(f"{line}\n")
            self._stream.flush()
