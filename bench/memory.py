"""How much memory a server has: idle, after a load, and with 2,000 streams open."""

import asyncio
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack

from bench.cores import run
from bench.load import Target, load
from bench.options import Options
from bench.processes import Running, free_port, process
from bench.report import Cell, Section, Table, median, ratio
from bench.servers import BARE
from bench.shipped import OURS, serving_shipped, target
from bench.stream_load import Streams, read_streams
from bench.upstream import Manner, behave
from bench.usage import cpu_seconds, memory

STREAMS, SPREAD = 2000, 8.0
SLOW = Manner(words=20, gap=3)

STATES = (
    "idle",
    "after prompts by 64 clients",
    f"with {STREAMS:,} streams open",
    "after them",
)

METHOD = f"""\
MB of the process and its children, pages that are shared in parts (PSS); without a
model. {STREAMS:,} streams begin within {SPREAD:g} s and say a word each {SLOW.gap:g} s;
memory is read one second after all of them have their first word. They go by `/v1`."""


def measure(options: Options) -> Section:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    late: dict[str, list[float]] = defaultdict(list)
    used: dict[str, list[float]] = defaultdict(list)
    failures: dict[str, int] = defaultdict(int)
    for _ in range(options.rounds):
        for name in (BARE, OURS):
            with ExitStack() as stack:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                upstream, port = free_port(), free_port()
                stack.enter_context(process("bench.upstream", upstream, folder=folder))
                running = stack.enter_context(
                    serving_shipped(name, port, upstream, folder)
                )
                time.sleep(1)
                weights = [memory(running.pid)]
                run(load(target(name, port), clients=64, seconds=options.seconds))
                weights.append(memory(running.pid))
                behave(upstream, SLOW)
                cpu = cpu_seconds(running.pid)
                asked = target(name, port, stream=True)
                streams, weight = hold(running, asked, upstream)
                used[name].append(cpu_seconds(running.pid) - cpu)
                time.sleep(1)
                weights += [weight, memory(running.pid)]
            for state, each in zip(STATES, weights, strict=True):
                found[name, state].append(each)
            late[name].append(streams.first[-1] if streams.first else float("nan"))
            failures[name] += streams.failures
    rows: list[list[Cell]] = [
        [
            name,
            *(median(found[name, state]) for state in STATES),
            median(each_stream(found, name)),
            median(late[name]),
            median(used[name]),
            failures[name],
        ]
        for name in (BARE, OURS)
    ]
    ratios: list[list[Cell]] = [
        [state, ratio(found[OURS, state], found[BARE, state])] for state in STATES
    ]
    ratios.append(
        ["each open stream", ratio(each_stream(found, OURS), each_stream(found, BARE))]
    )
    head = ["server", *STATES, "KB per stream", "last first word, s", "CPU s", "failed"]
    return Section(
        "Memory",
        METHOD,
        [Table("Memory, beside a bare pass-through", ["", "times as much"], ratios)],
        [Table("Memory", head, rows)],
    )


def each_stream(found: dict[tuple[str, str], list[float]], name: str) -> list[float]:
    """Return the KB that one more open stream takes, for each round."""
    _, before, during, _ = STATES
    pairs = zip(found[name, before], found[name, during], strict=True)
    return [(after - first) * 1000 / STREAMS for first, after in pairs]


def hold(running: Running, asked: Target, upstream: int) -> tuple[Streams, float]:
    """Read all streams, and weigh the server while they are open."""
    weight = float("nan")

    def weigh() -> None:
        nonlocal weight
        weight = memory(running.pid)
        behave(upstream, Manner())  # they have been open for long enough

    def when_open() -> None:
        asyncio.get_running_loop().call_later(1, weigh)

    streams = run(
        read_streams(
            asked,
            streams=STREAMS,
            words=SLOW.words,
            spread=SPREAD,
            when_open=when_open,
        )
    )
    return streams, weight
