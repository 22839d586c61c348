"""What a login costs, and what logins do to others' prompts."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass

from bench.cores import run
from bench.load import Load, Target, load
from bench.options import Options
from bench.report import Cell, Section, Table, median, ratio
from bench.server import PASSWORD, USERNAME
from bench.servers import PROMPT, Servers, serving
from bench.usage import cpu_seconds
from llamakeep.credentials.passwords import HASHER

METHOD = """\
A login checks an Argon2 hash and commits an access token. The floor is that check
alone, in a process that does nothing else. With logins, one client prompts while eight
log in."""

CROWD = 8


@dataclass(frozen=True, slots=True)
class Found:
    load: Load
    cpu: float
    """Milliseconds of CPU time for each request."""


def measure(options: Options) -> Section:
    logins: dict[int, list[Found]] = defaultdict(list)
    prompts: dict[str, list[Load]] = defaultdict(list)
    checks: list[float] = []
    with serving() as servers:
        body = {"username": USERNAME, "password": PASSWORD}
        login = Target(servers.ours.port, "/login/", body)
        prompt = servers.targets()[PROMPT]
        run(load(prompt, clients=8, seconds=1))
        for _ in range(options.rounds):
            checks.append(check())
            for clients in (1, CROWD):
                found = used(servers, login, clients, options.seconds)
                logins[clients].append(found)
            alone = run(load(prompt, clients=1, seconds=options.seconds))
            prompts["alone"].append(alone)
            beside, _ = run(both(prompt, login, options.seconds))
            prompts[f"while {CROWD} log in"].append(beside)
    return Section("Logins", METHOD, [ratios(logins, checks)], details(logins, prompts))


def check() -> float:
    """Return how many milliseconds of CPU time it takes to check a password."""
    stored = HASHER.hash(PASSWORD)
    began = time.process_time()
    for _ in range(10):
        HASHER.verify(stored, PASSWORD)
    return (time.process_time() - began) * 100


def used(servers: Servers, login: Target, clients: int, seconds: float) -> Found:
    cpu = cpu_seconds(servers.ours.pid)
    result = run(load(login, clients=clients, seconds=seconds))
    cpu = cpu_seconds(servers.ours.pid) - cpu
    return Found(result, cpu * 1000 / result.requests)


async def both(prompt: Target, login: Target, seconds: float) -> tuple[Load, Load]:
    return await asyncio.gather(
        load(prompt, clients=1, seconds=seconds),
        load(login, clients=CROWD, seconds=seconds),
    )


def ratios(logins: dict[int, list[Found]], checks: list[float]) -> Table:
    row: list[Cell] = ["CPU of a login beside its hash check"]
    row += [ratio((x.cpu for x in found), checks) for found in logins.values()]
    head = ["", *(f"clients: {clients}" for clients in logins)]
    return Table("Logins", head, [row])


def details(
    logins: dict[int, list[Found]], prompts: dict[str, list[Load]]
) -> list[Table]:
    rows: list[list[Cell]] = [
        [
            clients,
            median(x.load.per_second for x in found),
            median(x.cpu for x in found),
            median(x.load.percentile(0.5) for x in found),
            median(x.load.percentile(0.99) for x in found),
            sum(x.load.failures for x in found),
        ]
        for clients, found in logins.items()
    ]
    others: list[list[Cell]] = [
        [
            name,
            median(x.per_second for x in found),
            median(x.percentile(0.5) for x in found),
            median(x.percentile(0.99) for x in found),
            sum(x.failures for x in found),
        ]
        for name, found in prompts.items()
    ]
    times = ["p50 ms", "p99 ms", "failures"]
    return [
        Table("Logins", ["clients", "logins/s", "CPU ms/login", *times], rows),
        Table("Prompts of one client", ["", "requests/s", *times], others),
    ]
