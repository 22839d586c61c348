"""The first view: what it takes, and when it is seen and can be used."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import BrowserContext, Page, Request

from bench.cores import pin_to_server_core
from bench.page.place import Place
from bench.processes import free_port, process
from bench.report import Cell, Table, median

NETWORKS = {
    "the same machine": (0, -1.0),
    "20 ms of latency": (20, -1.0),
    "80 ms of latency, 10 Mbit/s": (80, 10e6 / 8),
}
"""Milliseconds that a request waits at least, and bytes per second."""

_USABLE = "until(() => document.activeElement?.tagName === 'TEXTAREA')"
_PAINTED = """
until(() => performance.getEntriesByName("first-contentful-paint")[0])
    .then(() => performance.getEntriesByName("first-contentful-paint")[0].startTime)
"""
MINUTE = 60_000

_FLOOR = "<!DOCTYPE html><title>Floor</title><p>A text<textarea autofocus></textarea>"
"""A page that asks for nothing, and is all there when it has come."""


def measure(place: Place) -> Sequence[Table]:
    """Visit with nothing in the browser's cache, and again, and a floor beside."""
    rows: list[list[Cell]] = []
    with _floor() as floor:
        for network, (latency, speed) in NETWORKS.items():
            found: dict[str, list[float]] = {}
            for _ in range(place.rounds):
                for visits in ([floor], ["/", "/"]):
                    context = place.device()
                    for number, url in enumerate(visits):
                        usable, painted = _visit(context, url, latency, speed)
                        found.setdefault(f"{url} {number} painted", []).append(painted)
                        found.setdefault(f"{url} {number} usable", []).append(usable)
                    context.close()
            rows.append([network, *map(median, found.values())])
    head = [
        "network",
        *(
            f"{visit}: {what}"
            for visit in ("an empty page", "first visit", "again")
            for what in ("paint, ms", "usable")
        ),
    ]
    requests, sizes = _count(place)
    taken: list[list[Cell]] = [[requests, sizes / 1000]]
    return [
        Table("First view: time", head, rows),
        Table("First view: what it takes", ["requests", "KB of bodies"], taken),
    ]


@contextmanager
def _floor() -> Iterator[str]:
    """Serve the floor from the server's core, and return its address."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "index.html").write_text(_FLOOR)
        with process(
            "http.server", free_port(), folder=folder, is_quiet=True
        ) as server:
            pin_to_server_core(server.pid)
            yield f"http://127.0.0.1:{server.port}/"


def _visit(
    context: BrowserContext, url: str, latency: int, speed: float
) -> tuple[float, float]:
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": latency,
            "downloadThroughput": speed,
            "uploadThroughput": speed,
        },
    )
    page.goto(url, wait_until="commit")
    usable = page.evaluate(_USABLE)
    painted = page.evaluate(_PAINTED)
    page.wait_for_load_state("load")
    page.close()
    return usable, painted


def _count(place: Place) -> tuple[int, int]:
    """Return how many requests there are until the page is usable, and their bytes."""
    page = place.device().new_page()
    done = _noted(page, "requestfinished")
    page.goto("/")
    page.evaluate(_USABLE)
    return len(done), sum(request.sizes()["responseBodySize"] for request in done)


def measure_idle(place: Place) -> Sequence[Table]:
    """Leave a tab alone for a minute, and count its requests and what it receives."""
    page = place.open()
    page.evaluate(_USABLE)
    page.wait_for_timeout(2000)
    asked = _noted(page, "request")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    sizes: list[int] = []
    devtools.on("Network.dataReceived", lambda event: sizes.append(event["dataLength"]))
    page.wait_for_timeout(MINUTE)
    row: list[Cell] = [len(asked), len(sizes), sum(sizes)]
    return [Table("Idle for a minute", ["requests", "pieces received", "bytes"], [row])]


def _noted(page: Page, event: Literal["request", "requestfinished"]) -> list[Request]:
    """Return a list that gets each request from here on."""
    found: list[Request] = []

    def note(request: Request) -> None:
        found.append(request)

    page.on(event, note)
    return found
