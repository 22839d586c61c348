"""Upstreams that change while servers have runs there, and that are soon used up."""

import asyncio
import os
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import select

from llamakeep.domain import Run
from llamakeep.domain.quotas import Count
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.database.tables import quotas
from llamakeep.storage.runs.quotas import is_counted, took
from tests.acceptance.processes import Runner
from tests.torture.checker import Told
from tests.torture.client import WAYS, Client
from tests.torture.scenarios import Outcome, kill
from tests.torture.site import Site
from tests.torture.upstreams.answering import Answering
from tests.torture.upstreams.chaos import (
    Chaos,
    chat_process,
    judge_site,
    kill_amid_chaos,
)

FILE = "llamakeep.toml"
NARROW, BOUND = "narrow", 2
"""An upstream that is always there, and how many runs each process may have there."""
OTHERS = ("one", "two", "three", "four")
LONGEST_PAUSE = 0.5
"""Seconds between two changes of the file."""
MISTAKE = "[upstreams.one]\nkind = 'opnai'\n"
CAPPED = ("tight", "wide")
CAP = 900
"""Tokens per day of the first one: they are soon used."""
TOKENS = 7 + 8
"""What a scripted server says that a whole answer took."""


@asynccontextmanager
async def on_changing(
    _runner: Runner, folder: Path, _emulator: str, _word: str, _usual: dict[str, Any]
) -> AsyncIterator[Answering]:
    """Five upstreams that answer, of which the file may have some."""
    async with chat_process(folder) as (chaos, url):
        text = _toml(dict.fromkeys((NARROW, *OTHERS), f"parallel = {BOUND}\n"), url)
        yield await _answering(chaos, folder, text)


@asynccontextmanager
async def on_capped(
    _runner: Runner, folder: Path, _emulator: str, _word: str, _usual: dict[str, Any]
) -> AsyncIterator[Answering]:
    """Two upstreams and their alias with limits, of which one is soon reached."""
    async with chat_process(folder) as (chaos, url):
        price = "prices = { m = { input = 10, output = 10 } }\nparallel = 2\n"
        text = _toml(dict.fromkeys(CAPPED, price), url) + (
            f"[limits.tight]\ntokens_per_day = {CAP}\n"
            "[limits.wide]\ndollars_per_month = 1000\n"
            "[limits.any]\ntokens_per_day = 100_000_000\ndollars_per_month = 1000\n"
        )
        yield await _answering(chaos, folder, text, quota_max_tokens=50)


async def _answering(chaos: Chaos, folder: Path, text: str, **more: Any) -> Answering:
    file = folder / FILE
    await asyncio.to_thread(file.write_text, text)
    settings = {"config": str(file), "default_model": "any", **more}
    return Answering(chaos, settings, finds_lost=False)


def _toml(upstreams: Mapping[str, str], url: str, *, is_equal: bool = False) -> str:
    """Return a file with upstreams, what more is said of each, and an alias of them."""
    tables = [
        f'[upstreams.{name}]\nkind = "openai"\nbase_url = "{url}/{name}/v1"\n'
        f'models = ["m"]\n{more}'
        for name, more in upstreams.items()
    ]
    steps = ", ".join(f'"{name}:m"' for name in upstreams)
    if is_equal:
        steps = "{ " + steps.replace('"', "'").replace(",", " = 1,") + " = 1 }"
    return "\n".join([*tables, f"[aliases]\nany = [{steps}]\n"])


async def change_upstreams(
    site: Site, *, prompts: int, changes: int, clients: int, kills: int = 0
) -> Outcome:
    """
    Have servers read other files, at least so many, while clients ask for the alias.

    Every prompt has to be answered, unless it was under way when a server was killed.
    """
    for node in site.nodes:
        await site.start(node)
        await site.wait_until_serving(node)
    journal: list[Told] = []
    done: Counter[str] = Counter()

    async def keep_asking() -> None:
        client = Client(site, journal)
        while len(journal) < prompts or not all(each.done() for each in doing):
            await client.ask(site.chance.choice(WAYS))

    async def keep_changing() -> None:
        while done["changes"] < changes or not doing[0].done():
            await _change(site, has_kills=bool(kills))
            done["changes"] += 1

    async with asyncio.TaskGroup() as group:
        doing = [group.create_task(kill(site, kills, 2.0, once_serving=True))]
        doing.append(group.create_task(keep_changing()))
        for _ in range(clients):
            group.create_task(keep_asking())
    found = await judge_site(site, journal, done=done)
    routes = [run["route"] for run in (await site.nodes[-1].history()).values()]
    passed = [each["reason"] for route in routes for each in route["passed"]]
    found.done["whose upstream was gone"] = passed.count("no-provider")
    most = (await _account_of(site).most()).get(NARROW, 0)
    # One that was killed may be answered there for a moment.
    if not kills and most > BOUND * len(site.nodes):
        found.verdict.wrong.append(f"{NARROW} had {most} runs at the same time")
    return found


async def _change(site: Site, *, has_kills: bool) -> None:
    """
    Write another file, and tell each server that is there.

    With kills, runs wait for upstreams that are soon gone, and there are no mistakes,
    with which no server would start.
    """
    chance, file = site.chance, Path(site.answering.settings["config"])
    await asyncio.sleep(chance.uniform(0, LONGEST_PAUSE))
    names = chance.sample(OTHERS, chance.randint(int(has_kills), len(OTHERS)))
    upstreams = {each: chance.choice(["", "parallel = 1\n"]) for each in names}
    if has_kills:
        upstreams = {**dict.fromkeys(names, "parallel = 1\n"), NARROW: ""}
    else:
        narrow = {NARROW: f"parallel = {BOUND}\n"}
        upstreams = chance.choice([narrow | upstreams, upstreams | narrow])
    is_equal = not has_kills and chance.random() < 0.5
    text = _toml(upstreams, _account_of(site).url, is_equal=is_equal)
    if not has_kills and chance.random() < 0.1:
        text = MISTAKE
    await asyncio.to_thread(_put, file, text)
    for node in site.nodes:
        if (pid := node.pid) is not None and await asyncio.to_thread(_listens, pid):
            with suppress(ProcessLookupError):  # it was killed at the same moment
                os.kill(pid, signal.SIGHUP)


def _put(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def _listens(pid: int) -> bool:
    """Return whether a process is there and handles SIGHUP, which could end it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGHUP - 1))


def _account_of(site: Site) -> Chaos:
    assert isinstance(site.upstream, Chaos)
    return site.upstream


async def kill_amid_limits(
    site: Site, *, prompts: int, kills: int, clients: int, longest_pause: float
) -> Outcome:
    """Kill servers at random moments, then compare counts of limits with the runs."""
    found = await kill_amid_chaos(
        site,
        prompts=prompts,
        kills=kills,
        clients=clients,
        longest_pause=longest_pause,
    )
    asked = await site.upstream.predictions()
    for node in site.nodes:
        await node.stop()
    async with open_storage(site.database_url) as storage:
        runs, counts = await _runs(storage), await _counts(storage)
    found.verdict.wrong += wrong_counts(runs, counts)
    days = [each for each in counts if each.startswith("upstream:tight:")]
    most = CAP * len(days)
    used = sum(counts[each].tokens_used for each in days)
    sent = TOKENS * sum(each["upstream"] == "tight" for each in asked)
    if max(used, sent) > most:
        found.verdict.wrong.append(
            f"{used} tokens of {most} were used, and {sent} sent"
        )
    found.done["past the limit"] = sum(run.provider == "wide" for run in runs)
    return found


def wrong_counts(runs: list[Run], counts: Mapping[str, Count]) -> list[str]:
    """Return how counts of limits differ from what runs that have ended took."""
    tokens: Counter[str] = Counter()
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for run in runs:
        if run.reservation is None:
            continue
        used = took(run)
        for each in run.reservation.quotas:
            if is_counted(each, used["its_upstream"]):
                tokens[each] += used["took_tokens"]
                costs[each] += round(used["took_cost"], 9)
    return [
        f"{name} has {count}, but runs took {tokens[name]} tokens and ${costs[name]}"
        for name, count in counts.items()
        if count != Count(tokens_used=tokens[name], cost_used=costs[name])
    ]


async def _runs(storage: Storage) -> list[Run]:
    found: list[Run] = []
    for user in await storage.list_users():
        last = None
        while page := await storage.history(user, before=last, limit=200):
            found += page
            last = page[-1].id
    return found


async def _counts(storage: Storage) -> Mapping[str, Count]:
    rows = await storage._database.read(
        lambda connection: connection.execute(select(quotas)).mappings().all()
    )
    names = Count.__slots__
    return {row["id"]: Count(**{each: row[each] for each in names}) for row in rows}
