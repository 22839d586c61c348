"""A conversation of 10,000 runs: opened at its end, and in its middle."""

from collections.abc import Sequence

from playwright.sync_api import Page

from bench.page.place import Place
from bench.report import Cell, Table, median

RUNS = 10_000
SCROLLS = 30

_OPENED = """([id, text]) => {
    const began = id ? performance.now() : 0;
    if (id) document.querySelector(`nav .conversations a[href$="${id}"]`).click();
    return until(() => [...document.querySelectorAll("article.turn")].some((turn) => {
        const { top, bottom } = turn.getBoundingClientRect();
        const isSeen = top < innerHeight && bottom > 0;
        return isSeen && turn.textContent.includes(text);
    })).then((at) => at - began);
}"""
"""
Resolves to the milliseconds until a turn with a text is in sight: from a click on the
conversation with the id, or, without an id, since the page was asked for.
"""


def measure(place: Place) -> Sequence[Table]:
    """Open it again and again, then scroll up in it."""
    conversation, ids = place.import_conversation(RUNS)
    middle = RUNS // 2
    ends: list[float] = []
    middles: list[float] = []
    context = place.device()
    page = context.new_page()
    for _ in range(place.rounds):
        page.goto("/")
        page.locator(f'nav .conversations a[href$="{conversation}"]').wait_for()
        last = f"Answer {RUNS - 1} of"
        ends.append(page.evaluate(_OPENED, [conversation, last]))
        page.goto("about:blank")
        page.goto(f"/c/{conversation}#{ids[middle]}", wait_until="commit")
        middles.append(page.evaluate(_OPENED, ["", f"Answer {middle} of"]))
    rows: list[list[Cell]] = [
        ["its end, by a click", median(ends), max(ends)],
        ["its middle, by its address, with the page", median(middles), max(middles)],
    ]
    page.goto(f"/c/{conversation}")
    page.evaluate(_OPENED, ["", last])
    weighed: list[list[Cell]] = [["opened", *_weigh(page)]]
    for _ in range(SCROLLS):
        page.locator(".log").evaluate("e => e.scrollTop = 0")
        page.wait_for_timeout(100)
    weighed.append([f"scrolled up {SCROLLS} times", *_weigh(page)])
    return [
        Table(f"{RUNS:,} runs", ["opened at", "ms, median", "most"], rows),
        Table("What that holds", ["when", "elements", "heap, MB"], weighed),
    ]


def _weigh(page: Page) -> tuple[int, float]:
    """Return how many elements there are, and the heap once garbage is collected."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    devtools.send("Performance.enable")
    found = devtools.send("Performance.getMetrics")["metrics"]
    heap = next(each["value"] for each in found if each["name"] == "JSHeapUsedSize")
    elements = page.evaluate("document.querySelectorAll('*').length")
    return elements, heap / 1e6
