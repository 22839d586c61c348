"""The access log: a line for each request, when its response has ended."""

import os
import time
from contextlib import suppress
from json import JSONEncoder
from typing import TextIO

from llamakeep.logs.context import Served
from llamakeep.settings.values import LogFormat

LOGGER = "llamakeep.access"
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that programs ask for every few seconds."""

_encode = JSONEncoder(check_circular=False).encode


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
        self._process = {"process": os.getpid()} if with_process else {}
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
            line = _encode(
                {
                    "time": moment,
                    "level": "INFO",
                    "logger": LOGGER,
                    "message": f"{method or '-'} {route or '-'} {status or '-'}",
                    **self._process,
                    "method": method,
                    "route": route,
                    "status": status,
                    "ms": ms,
                    "bytes": size,
                    "complete": is_whole,
                    "user_id": served.user_id,
                    "run_id": served.run_id,
                    "request_id": served.request_id,
                }
            )
        else:
            process = f" [{self._process['process']}]" if self._process else ""
            took = "" if ms is None else f" ms={ms}"
            whole = "" if is_whole else " incomplete"
            user = f" user={served.user_id}" if served.user_id else ""
            run = f" run={served.run_id}" if served.run_id else ""
            line = (
                f"{moment}{process} INFO {LOGGER}: {method or '-'} {route or '-'} "
                f"{status or '-'}{took} bytes={size}{whole}{user}{run}"
                f" request={served.request_id}"
            )
        with suppress(OSError, ValueError):  # a request does not fail with its line
            self._stream.write(f"{line}\n")
            self._stream.flush()
