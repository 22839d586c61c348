"""What the page takes of the server."""

import http.client
import re
from collections.abc import Sequence

from bench.page.place import Place
from bench.report import Cell, Table
from bench.usage import cpu_seconds, memory

TIMES = 500


def measure(place: Place) -> Sequence[Table]:
    """Ask for all files that the shell names, the first time and then often."""
    pid, port = place.server.pid, place.server.port
    idle = memory(pid)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    shell = _get(connection, "/", "text/html").decode()
    base = re.search(r'<base href="([^"]*)"', shell)
    assert base is not None
    files = sorted(set(re.findall(r'(?:src|href)="([^"]+\.(?:js|css|svg))"', shell)))
    assert files
    for file in files:
        _get(connection, f"/{file.lstrip('/')}")
    after = memory(pid)
    rows: list[list[Cell]] = []
    for file in files:
        before = cpu_seconds(pid)
        for _ in range(TIMES):
            size = len(_get(connection, f"/{file.lstrip('/')}"))
        took = 1000 * (cpu_seconds(pid) - before) / TIMES
        rows.append([file.rpartition("/")[2], size / 1000, took])
    grown: list[list[Cell]] = [[idle, after, after - idle]]
    return [
        Table("Files, from the server's memory", ["file", "KB", "CPU ms"], rows),
        Table("Memory, MB", ["before the page", "after it was asked for", ""], grown),
    ]


def _get(connection: http.client.HTTPConnection, path: str, kind: str = "*/*") -> bytes:
    headers = {"Accept": kind, "Accept-Encoding": "gzip"}
    if kind == "text/html":
        headers["Accept-Encoding"] = "identity"
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (path, answer.status)
    return body
