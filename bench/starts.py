"""How long a start takes."""

import tempfile
from collections import defaultdict

from bench.options import Options
from bench.processes import free_port
from bench.report import Cell, Section, Table, median, ratio
from bench.servers import BARE
from bench.shipped import OURS, serving_shipped
from bench.usage import cpu_seconds

METHOD = """\
From the start of the process to the first answer of `/healthz`, without a model, on one
core; compiled before, and in the system's memory. The pass-through has no such path:
its first answer is a 404. CPU is what the process had used by then."""

NEW, OLD = "new database", "database that is there"


def measure(options: Options) -> Section:
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    used: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(options.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for name, what in ((BARE, ""), (OURS, NEW), (OURS, OLD)):
                # Nobody listens there: no start asks a provider for anything.
                ports = free_port(), free_port()
                with serving_shipped(name, *ports, folder) as running:
                    cpu = cpu_seconds(running.pid)
                if number:  # the first one compiles
                    seconds[name, what].append(running.seconds)
                    used[name, what].append(cpu)
    rows: list[list[Cell]] = [
        [name, what, median(took), median(used[name, what])]
        for (name, what), took in seconds.items()
    ]
    ratios: list[list[Cell]] = [
        [what, ratio(seconds[OURS, what], seconds[BARE, ""])] for what in (NEW, OLD)
    ]
    return Section(
        "Start",
        METHOD,
        [Table("Start, beside a bare pass-through", ["", "times as long"], ratios)],
        [Table("Start", ["server", "with", "seconds", "CPU seconds"], rows)],
    )
