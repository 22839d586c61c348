"""
Measure whether a prompt costs more where a long history is kept.

    python -m bench.history_prompts FILE [--clients 64] [--rounds 10] [--seconds 1.5]

FILE is a SQLite database of `python -m bench.history --database sqlite:///FILE`; a copy
is served. Another server has a database that was empty. They are on one core and take
turns, first the one and then the other; the other core makes the load and plays a
provider that answers at once. Short rounds, since the machine's clock may change.
"""

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cores import allow_many_connections, pin_to_load_core, run
from bench.load import Load, Target, load
from bench.processes import call, free_port, process
from bench.server import PASSWORD, USERNAME
from bench.usage import cpu_seconds

PROMPT = {"prompt": "What is FastAPI and why is it useful?"}
EMPTY = "empty"
WARM_UP = 1.0


@dataclass(frozen=True, slots=True)
class Burst:
    """What a server did in one round."""

    load: Load
    cpu: float
    """Milliseconds of CPU time for each request."""


FIGURES: dict[str, Callable[[Burst], float]] = {
    "requests/s": lambda burst: burst.load.per_second,
    "CPU ms": lambda burst: burst.cpu,
    "p50 ms": lambda burst: burst.load.percentile(0.5),
    "p99 ms": lambda burst: burst.load.percentile(0.99),
}


@contextmanager
def serving(database: Path, upstream: int) -> Iterator[tuple[int, Target]]:
    """Serve a database, and yield who does that and what they are asked."""
    base, folder = f"http://127.0.0.1:{upstream}/v1", str(database.parent)
    port = free_port()
    with process("bench.server", port, base, str(database), folder=folder) as ours:
        login = {"username": USERNAME, "password": PASSWORD}
        headers = {"authorization": f"Bearer {call(port, '/login/', login)['token']}"}
        yield ours.pid, Target(port, "/prompt/", PROMPT, headers)


def measure(pid: int, target: Target, clients: int, seconds: float) -> Burst:
    used = cpu_seconds(pid)
    done = run(load(target, clients=clients, seconds=seconds))
    used = cpu_seconds(pid) - used
    assert not done.failures
    return Burst(done, used * 1000 / done.requests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    chosen = parser.parse_args()
    pin_to_load_core()
    allow_many_connections()
    names = EMPTY, chosen.file.stem
    found: dict[str, list[Burst]] = {name: [] for name in names}
    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(dir=chosen.file.absolute().parent)
        )
        upstream = free_port()
        stack.enter_context(process("bench.upstream", upstream, folder=folder))
        servers = {}
        for name in names:
            file = Path(folder) / name / "bench.db"
            file.parent.mkdir()
            if name != EMPTY:
                shutil.copyfile(chosen.file, file)
            servers[name] = stack.enter_context(serving(file, upstream))
            measure(*servers[name], chosen.clients, WARM_UP)
        print(f"| round | database | {' | '.join(FIGURES)} |")
        print("|---" * (len(FIGURES) + 2) + "|")
        for n in range(chosen.rounds):
            for name in names if n % 2 else names[::-1]:
                burst = measure(*servers[name], chosen.clients, chosen.seconds)
                found[name].append(burst)
                cells = " | ".join(f"{show(burst):.2f}" for show in FIGURES.values())
                print(f"| {n + 1} | {name} | {cells} |", flush=True)
    for name, figure in FIGURES.items():
        pairs = zip(*found.values(), strict=True)
        ratios = [figure(grown) / figure(empty) for empty, grown in pairs]
        print(f"{name}: {statistics.median(ratios):.2f} times those of an empty one")


if __name__ == "__main__":
    main()
