"""Answers while they come: 1,000 tokens a second, and the first word."""

import time
from collections.abc import Sequence

from playwright.sync_api import expect

from bench.page.place import Place, send
from bench.report import Cell, Table, median
from bench.upstream import Manner, behave

ABOVE = 200
SECONDS = 30
RATE = 1000
KEYS_EVERY = 250
FIRST = 0.2

_WATCH = """() => {
    const frames = globalThis.frames_ = [], keys = globalThis.keys_ = [];
    let before = performance.now();
    const frame = (now) => {
        frames.push(now - before);
        before = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    document.addEventListener("keydown", (event) => {
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => keys.push(performance.now() - event.timeStamp);
            port2.postMessage(0);
        });
    }, true);
}"""
"""Notes the milliseconds between frames, and from each key to the frame that has it."""

_SENT = """(text) => {
    const began = performance.now();
    [...document.querySelectorAll("button.main")]
        .find((button) => button.textContent.trim() === "Send").click();
    return until(() => document.querySelector("article.turn:last-of-type .text")
        ?.textContent.includes(text)).then((at) => at - began);
}"""


def measure_fast(place: Place) -> Sequence[Table]:
    """Stream below 200 runs, and type meanwhile."""
    conversation, _ = place.import_conversation(ABOVE)
    words = RATE * SECONDS
    behave(place.upstream, Manner(words=words, gap=1 / RATE))
    page = place.open(f"/c/{conversation}")
    expect(page.locator("article.turn").last).to_contain_text(f"Answer {ABOVE - 1} of")
    page.wait_for_timeout(1000)
    page.evaluate(_WATCH)
    send(page, "Say much")
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        page.keyboard.press("a")
        page.wait_for_timeout(KEYS_EVERY)
    frames: list[float] = sorted(page.evaluate("frames_"))
    keys: list[float] = sorted(page.evaluate("keys_"))
    expect(page.locator("article.turn").last.locator(".facts")).to_be_visible()
    late = time.monotonic() - began - SECONDS
    behave(place.upstream, Manner())
    row: list[Cell] = [
        _share(frames, 0.5),
        _share(frames, 0.99),
        frames[-1],
        _percent_under(frames, 17),
        _share(keys, 0.5),
        _share(keys, 0.99),
        keys[-1],
        late,
    ]
    head = [
        "frames: ms, median",
        "p99",
        "most",
        "% under 17",
        "a key on the screen: ms, median",
        "p99",
        "most",
        "end of the text late, s",
    ]
    return [Table(f"{RATE:,} tokens/s for {SECONDS} s below {ABOVE} runs", head, [row])]


def measure_first(place: Place) -> Sequence[Table]:
    """Compare when a first word is seen with when the provider has said it."""
    behave(place.upstream, Manner(words=20, first=FIRST, gap=0.05))
    page = place.open()
    page.evaluate("until(() => document.activeElement?.tagName === 'TEXTAREA')")
    seen: list[float] = []
    for _ in range(place.rounds):
        page.get_by_role("link", name="New conversation").click()
        page.get_by_role("textbox", name="Prompt").fill("Say a word")
        seen.append(page.evaluate(_SENT, "word") - FIRST * 1000)
        expect(page.locator("article.turn").last.locator(".facts")).to_be_visible()
    behave(place.upstream, Manner())
    row: list[Cell] = [median(seen), max(seen)]
    title = "From sending to the first word on the screen, less the provider's time"
    return [Table(title, ["ms, median", "most"], [row])]


def _share(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def _percent_under(values: Sequence[float], bound: float) -> float:
    return 100 * sum(value < bound for value in values) / len(values)
