"""What is done to the servers while clients rely on them."""

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

from tests.acceptance.processes import ServerProcess
from tests.torture.checker import ENDED, FINAL, Told, Verdict, check
from tests.torture.client import WAYS, Client, Way
from tests.torture.crash_points import ALL_POINTS
from tests.torture.site import LEASE, Site, fates
from tests.torture.upstreams.answering import runs_without_handle

BOUND = LEASE + 5
"""Seconds that recovering may take."""
PATIENCE = 60
"""Seconds after which what is not over counts as lost rather than as slow."""
ANYWHERE = "anywhere"
SENDING = "before sending"
FREEZING_POINTS = (
    "before create",
    SENDING,
    "during create",
    "after create",
    "after attach",
    ANYWHERE,
)
"""Where a holder of runs is frozen."""

log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What was done to servers, and what was found."""

    done: Counter[str] = field(default_factory=Counter)
    """How often what was done to servers, or to what they depend on."""
    creates_lost: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    is_timed: bool = True
    """Whether it is known how long recovering took."""

    @property
    def what_was_done(self) -> str:
        """Return it in words."""
        return ", ".join(f"{count} {what}" for what, count in self.done.items())

    @property
    def kills(self) -> int:
        """How many servers were killed."""
        return self.done["kills"]

    def __iadd__(self, other: Self) -> Self:
        self.done += other.done
        self.creates_lost += other.creates_lost
        self.verdict += other.verdict
        self.is_timed &= other.is_timed
        return self


async def kill_at_random(
    site: Site,
    *,
    prompts: int,
    kills: int,
    clients: int,
    longest_pause: float,
    once_serving: bool = False,
) -> Outcome:
    """
    Kill servers at random moments while clients ask.

    Args:
        site: Whose servers.
        prompts: At least so many are asked.
        kills: So many are killed.
        clients: How many prompts are asked at the same time.
        longest_pause: Between two kills, in seconds.
        once_serving: Whether servers are killed only while they serve.
    """
    await site.upstream.lose_creates()
    journal = await ask_while_killing(
        site,
        prompts=prompts,
        kills=kills,
        clients=clients,
        longest_pause=longest_pause,
        once_serving=once_serving,
    )
    return await judge(site, journal)


async def ask_while_killing(
    site: Site,
    *,
    prompts: int,
    kills: int,
    clients: int,
    longest_pause: float,
    once_serving: bool,
) -> list[Told]:
    """Start the servers, kill them as `kill_at_random` says, and ask meanwhile."""
    for node in site.nodes:
        await site.start(node)
    journal: list[Told] = []
    killing = asyncio.create_task(
        kill(site, kills, longest_pause, once_serving=once_serving)
    )

    async def keep_asking() -> None:
        client = Client(site, journal)
        while len(journal) < prompts or not killing.done():
            await client.ask(site.chance.choice(WAYS))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(keep_asking())
    await killing
    return journal


async def crash_at(site: Site, name: str, *, times: int) -> Outcome:
    """
    Let the first server kill itself at the point `name`, so many times.

    It is started anew each time; where there is another server, whoever is first goes
    on with the runs.
    """
    point, chance = ALL_POINTS[name], site.chance
    await site.upstream.lose_creates()
    if point.loses_creates and site.answering.finds_lost:
        site.fates = fates(chance, lost=1, kept=2)
    node, *others = site.nodes
    for other in others:
        await site.start(other)
    journal: list[Told] = []
    client = Client(site, journal)
    ways: list[Way] = ["cancel"] * 3 if point.cancels else [*WAYS]
    crashes = 0
    for _ in range(2 * times):
        if crashes == times:
            break
        crash: dict[str, Any] = {
            "crash_at": name,
            "passes": chance.randint(1, point.passes),
        }
        await site.replace(node, **({} if point.is_after_kill else crash))
        async with asyncio.TaskGroup() as group:
            asking = [
                group.create_task(client.ask(way, first=node))
                for way in ways * point.crowd
            ]
            if point.is_after_kill:
                await asyncio.sleep(chance.uniform(0.05, 0.5))
                await site.kill(node)
                await site.start(node, **crash)
            while not (is_dead := await site.has_died(node)):
                if all(each.done() for each in asking):
                    break  # it was not reached
                await asyncio.sleep(0.01)
            crashes += is_dead
            if is_dead:
                await site.start(node)
    return await judge(site, journal)


async def freeze_holder(site: Site, name: str, *, times: int) -> Outcome:
    """
    Freeze the first server at the point `name` past its lease, then wake it.

    Another server continues the runs. What the first one makes when it wakes, it
    has to cancel; so that it hears of it, no creates are lost.
    """
    holder, *others = site.nodes
    await site.replicate.talk_slowly()
    for other in others:
        if other.pid is None:
            await site.start(other)
    journal: list[Told] = []
    client = Client(site, journal, timeout=1.5)
    freezes = 0
    for _ in range(times):
        await site.replace(
            holder,
            crash_at="" if name == ANYWHERE else name,
            # Its clients wait for it for 1.5 s; on a busy machine, few of them come.
            passes=1 if name == SENDING else site.chance.randint(1, 2),
            how=signal.SIGSTOP,
        )
        await site.wait_until_serving(holder)
        site.unreachable = holder  # whoever hears nothing from it goes elsewhere
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(client.ask(way, first=holder)) for way in WAYS]
            if name == ANYWHERE:
                await asyncio.sleep(site.chance.uniform(0, 0.5))
                _signal(holder, signal.SIGSTOP)
                site.strikes.append(time.time())
            elif name == SENDING:
                # Later, its own deadline for the create would be over.
                await _all_sent(site, journal, asking)
                freezes += await site.has_stopped(holder)
                site.wake(holder)
        if name != SENDING:
            freezes += await site.has_stopped(holder)
            site.wake(holder)
        site.unreachable = None
        await site.wait_until_serving(holder)
        await asyncio.sleep(1)  # in which it finds out what happened
        # Killed before, it could not cancel what it has made.
        await _all_ended(site)
    done = Counter({"freezes": freezes})
    return await judge(site, journal, done=done, may_freeze=True)


async def _all_sent(
    site: Site, journal: list[Told], asking: list[asyncio.Task[None]]
) -> None:
    """Wait until each prompt is being answered, or has ended."""
    while not all(each.done() for each in asking):
        made = {each["input"]["prompt"] for each in await site.upstream.predictions()}
        if all(told.prompt in made for told in journal):
            return
        await asyncio.sleep(0.02)


def _signal(node: ServerProcess, how: signal.Signals) -> None:
    assert node.pid is not None
    os.kill(node.pid, how)


async def kill(
    site: Site, kills: int, longest_pause: float, *, once_serving: bool = False
) -> None:
    """
    Kill so many servers, one after the other, and start them again.

    With `once_serving`, none is killed while it starts: it has no runs to lose.
    """
    for _ in range(kills):
        await asyncio.sleep(site.chance.uniform(0, longest_pause))
        node = site.chance.choice([*site.nodes, *site.answering.others])
        if once_serving:
            await site.wait_until_serving(node)
            await asyncio.sleep(site.chance.uniform(0, longest_pause))
        await site.kill(node)
        if len(site.nodes) > 1:  # meanwhile the others go on
            await asyncio.sleep(site.chance.uniform(0, longest_pause))
        await site.start(node)


async def judge(
    site: Site,
    journal: list[Told],
    *,
    done: Counter[str] | None = None,
    bound: float = BOUND,
    may_freeze: bool = False,
    has_true_clocks: bool = True,
) -> Outcome:
    """Judge when nothing goes on any more; `done` is what was done but for kills."""
    began = time.monotonic()
    while True:
        history = await site.nodes[-1].history()
        predictions = await site.upstream.predictions()
        is_over = all(run["status"] in FINAL for run in history.values())
        is_over = is_over and all(one["status"] in ENDED for one in predictions)
        waited = time.monotonic() - began
        if is_over or waited > PATIENCE:
            break
        await asyncio.sleep(0.1)
    unfound: set[str] = set()
    if not site.answering.finds_lost:
        unfound = await runs_without_handle(site.database_url)
    verdict = check(
        journal,
        history,
        predictions,
        unfound=unfound,
        strikes=await site.all_strikes(),
        bound=bound,
        may_freeze=may_freeze,
        has_true_clocks=has_true_clocks,
        exits=site.exits,
    )
    if waited > bound and not has_true_clocks:
        verdict.slow.append(f"all was over {waited:.1f} s after the last fault")
    if verdict.faults:
        for node in site.nodes:
            log.warning("%s", (await asyncio.to_thread(node.log.read_text))[-5000:])
    return Outcome(
        done=+(
            Counter({"kills": site.kills})
            + (done or Counter())
            + Counter({"interrupted": verdict.interrupted})
        ),
        creates_lost=await site.upstream.lost_creates(),
        verdict=verdict,
        is_timed=has_true_clocks,
    )


async def _all_ended(site: Site) -> None:
    """Wait until no prediction goes on any more."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        predictions = await site.upstream.predictions()
        if all(each["status"] in ENDED for each in predictions):
            return
        await asyncio.sleep(0.1)
