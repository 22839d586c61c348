"""How late the words of many streams are, and what each of them takes."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from bench.cores import run
from bench.load import Target, percentile
from bench.options import Options
from bench.report import Cell, Section, Table, median, ratio
from bench.servers import BARE, CHAT, PROMPT, Servers, serving
from bench.stream_load import Streams, read_streams
from bench.upstream import Manner, behave
from bench.usage import cpu_seconds

STREAMS, WORDS = 200, 100
FIRST, GAP, SPREAD = 0.2, 0.05, 2.0
PACED, BURST = "paced", "burst"

METHOD = f"""\
{STREAMS} streams of {WORDS} words, each of which is a chunk of its own. Paced: the
first word after {FIRST * 1000:.0f} ms, then one each {GAP * 1000:.0f} ms by the clock;
they begin within {SPREAD:g} s. Burst: all at once, as fast as they go. A stream is
behind if its last word comes more than {GAP * 1000:.0f} ms, a whole gap, after it would
have come from a provider without anybody in between."""

MANNERS = {
    PACED: Manner(words=WORDS, first=FIRST, gap=GAP),
    BURST: Manner(words=WORDS, gap=0),
}
IDEAL = FIRST + GAP * (WORDS - 1)


@dataclass(frozen=True, slots=True)
class Flood:
    """What one server did in one round."""

    streams: Streams
    cpu: float

    @property
    def first(self) -> float:
        return percentile(self.streams.first, 0.5)

    @property
    def first_late(self) -> float:
        return percentile(self.streams.first, 0.99)

    @property
    def cpu_each(self) -> float:
        """Return the microseconds of CPU time for each chunk."""
        return self.cpu * 1e6 / (self.streams.asked * self.streams.words)

    @property
    def rate(self) -> float:
        return self.streams.per_second


Found = dict[tuple[str, str], list[Flood]]


def measure(options: Options) -> Section:
    found: Found = defaultdict(list)
    with serving() as servers:
        targets = servers.targets(stream=True)
        behave(servers.upstream.port, MANNERS[BURST])
        for target in targets.values():  # warm up
            run(read_streams(target, streams=20, words=WORDS))
        for _ in range(options.rounds):
            for kind, manner in MANNERS.items():
                behave(servers.upstream.port, manner)
                for name, target in targets.items():
                    spread = SPREAD if kind == PACED else 0
                    found[kind, name].append(flood(servers, target, spread))
    return Section("Streams", METHOD, [ratios(found)], [details(found)])


def flood(servers: Servers, target: Target, spread: float) -> Flood:
    pid = servers.pid(target)
    used = cpu_seconds(pid)
    seen = run(read_streams(target, streams=STREAMS, words=WORDS, spread=spread))
    return Flood(seen, cpu_seconds(pid) - used)


def ratios(found: Found) -> Table:
    def row(what: str, kind: str, key: str) -> list[Cell]:
        def each(name: str) -> list[float]:
            return [float(getattr(flood, key)) for flood in found[kind, name]]

        return [
            what,
            ratio(each(PROMPT), each(BARE)),
            ratio(each(CHAT), each(BARE)),
            ratio(each(CHAT), each(PROMPT)),
        ]

    rows = [
        row("chunks/s, burst", BURST, "rate"),
        row("CPU per chunk, burst", BURST, "cpu_each"),
        row("CPU per chunk, paced", PACED, "cpu_each"),
        row("time to the first word, paced", PACED, "first"),
    ]
    head = ["", "/prompt/ beside pass-through", "/v1 beside it", "/v1 beside /prompt/"]
    return Table("Streams, beside a bare pass-through", head, rows)


def details(found: Found) -> Table:
    head = [
        "streams",
        "server",
        "first word p50 ms",
        "added p50 ms",
        "first word p99 ms",
        "added p99 ms",
        "chunks/s",
        "CPU µs/chunk",
        f"behind, of {STREAMS}",
        "last word p99 / ideal",
        "failures",
    ]
    return Table("Streams", head, list(_rows(found)))


def _rows(found: Found) -> Iterator[list[Cell]]:
    for (kind, name), floods in found.items():
        bare = found[kind, BARE]
        first = median(each.first for each in floods)
        late = median(each.first_late for each in floods)
        ends = median(percentile(each.streams.last, 0.99) for each in floods)
        is_paced = kind == PACED
        yield [
            kind,
            name,
            first,
            first - median(each.first for each in bare),
            late,
            late - median(each.first_late for each in bare),
            median(each.rate for each in floods),
            median(each.cpu_each for each in floods),
            median(each.streams.late(IDEAL + GAP) for each in floods)
            if is_paced
            else None,
            ends / (IDEAL * 1000) if is_paced else None,
            sum(each.streams.failures for each in floods),
        ]
