"""How many prompts are answered, how fast, and for how much CPU time."""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from bench.cores import run
from bench.load import Load, Target, load
from bench.options import Options
from bench.report import Cell, Section, Table, median, ratio
from bench.servers import BARE, CHAT, PROMPT, Servers, serving
from bench.upstream import Manner, behave, calls
from bench.usage import Others, cpu_seconds

CLIENTS = (1, 16, 64, 256)
DELAYS = (0.0, 0.05)

METHOD = """\
One core serves, the other one makes the load and plays a provider that answers with 20
words in one piece, at once or after 50 ms. The pass-through is aiohttp on uvloop,
without login, parsing or storage. llamakeep checks an access token, commits the prompt,
has the answer streamed, commits that, and answers. CPU is the server's user and system
time of all threads; "busy" is that beside the clock: where the pass-through's is far
below 1, it was the load that had no more to give."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What one server did in one round."""

    load: Load
    cpu: float
    """Seconds of the server's CPU time."""
    seconds: float
    commits: int
    calls: int
    others: float

    @property
    def cpu_each(self) -> float:
        """Return the milliseconds of CPU time for each request."""
        return self.cpu * 1000 / self.load.requests

    @property
    def rate(self) -> float:
        return self.load.per_second


def burst(
    servers: Servers, target: Target, others: Others, *, clients: int, seconds: float
) -> Burst:
    """Load one server, and look what that takes."""
    pid = servers.pid(target)
    commits, called = servers.commits(), calls(servers.upstream.port)
    others.cores()
    began, used = time.perf_counter(), cpu_seconds(pid)
    result = run(load(target, clients=clients, seconds=seconds))
    used, took = cpu_seconds(pid) - used, time.perf_counter() - began
    elsewhere = others.cores()
    return Burst(
        result,
        used,
        took,
        servers.commits() - commits,
        calls(servers.upstream.port) - called,
        elsewhere,
    )


Found = dict[tuple[float, int, str], list[Burst]]


def measure(options: Options) -> Section:
    found: Found = defaultdict(list)
    with serving() as servers:
        targets = servers.targets()
        others = Others(*servers.pids())
        for target in targets.values():  # warm up
            run(load(target, clients=8, seconds=1))
        for _ in range(options.rounds):
            for delay in DELAYS:
                behave(servers.upstream.port, Manner(delay=delay, first=delay))
                for clients in CLIENTS:
                    for name, target in targets.items():
                        found[delay, clients, name].append(
                            burst(
                                servers,
                                target,
                                others,
                                clients=clients,
                                seconds=options.seconds,
                            )
                        )
    return Section("Prompts", METHOD, [ratios(found)], [details(found), noise(found)])


def ratios(found: Found) -> Table:
    def row(what: str, delay: float, one: str, other: str, key: str) -> list[Cell]:
        def values(name: str, clients: int) -> list[float]:
            return [float(getattr(each, key)) for each in found[delay, clients, name]]

        each = [ratio(values(one, n), values(other, n)) for n in CLIENTS]
        return [what, _shown(delay), *each]

    rows = []
    for delay in DELAYS:
        rows += [
            row(
                "/prompt/: requests/s beside pass-through", delay, PROMPT, BARE, "rate"
            ),
            row("/v1: requests/s beside pass-through", delay, CHAT, BARE, "rate"),
        ]
    for delay in DELAYS:
        rows += [
            row("/prompt/: CPU beside pass-through", delay, PROMPT, BARE, "cpu_each"),
            row("/v1: CPU beside pass-through", delay, CHAT, BARE, "cpu_each"),
            row("/v1: CPU beside /prompt/", delay, CHAT, PROMPT, "cpu_each"),
        ]
    head = ["per request", "provider takes", *(f"clients: {n}" for n in CLIENTS)]
    return Table("Prompts, beside a bare pass-through", head, rows)


def details(found: Found) -> Table:
    rows = list(_rows(found))
    head = [
        "provider takes",
        "clients",
        "server",
        "requests/s",
        "CPU ms/request",
        "busy",
        "p50 ms",
        "p99 ms",
        "added p50 ms",
        "commits/request",
        "upstream calls/request",
        "failures",
    ]
    return Table("Prompts", head, rows)


def _rows(found: Found) -> Iterator[list[Cell]]:
    for (delay, clients, name), bursts in found.items():
        fastest = median(x.load.percentile(0.5) for x in found[delay, clients, BARE])
        p50 = median(x.load.percentile(0.5) for x in bursts)
        yield [
            _shown(delay),
            clients,
            name,
            median(x.rate for x in bursts),
            median(x.cpu_each for x in bursts),
            median(x.cpu / x.seconds for x in bursts),
            p50,
            median(x.load.percentile(0.99) for x in bursts),
            p50 - fastest,
            None
            if name == BARE
            else median(x.commits / x.load.requests for x in bursts),
            median(x.calls / x.load.requests for x in bursts),
            sum(x.load.failures for x in bursts),
        ]


def noise(found: Found) -> Table:
    busy = sorted(x.others for bursts in found.values() for x in bursts)
    row: list[Cell] = [median(busy), busy[int(0.9 * len(busy))], busy[-1]]
    return Table("Cores that others kept busy", ["median", "p90", "most"], [row])


def _shown(delay: float) -> str:
    return f"{delay * 1000:.0f} ms"
