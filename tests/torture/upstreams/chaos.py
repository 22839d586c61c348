"""Many upstreams behind one alias, each failing in its own way, and killed servers."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2

from tests.acceptance.processes import Runner
from tests.torture.checker import FINAL, Told, Verdict
from tests.torture.scenarios import (
    PATIENCE,
    Outcome,
    ask_while_killing,
)
from tests.torture.site import Site
from tests.torture.upstreams.answering import (
    Answering,
    Kept,
    kept_process,
    runs_without_handle,
    scripted_process,
)
from tests.torture.upstreams.chat_server import DIES
from tests.waiting import LONG_ENOUGH, until

PASSED = {"dead", "wrong-key", "limited", "recovering", "kept"}
"""Those after which another one may be asked although they were sent the prompt."""
EQUAL = {"recovering": 3, "slow": 2, "cut": 1, "garbage": 1}
"""Models with their weights."""
KEPT = {"kept": 3}


class Chaos:
    """What upstreams of a site were asked for, by their own account."""

    def __init__(self, url: str, kept: Kept | None) -> None:
        self.url = url
        self._kept = kept
        self._client = httpx2.AsyncClient(
            base_url=url, timeout=LONG_ENOUGH, trust_env=False, verify=False
        )

    async def lose_creates(self) -> None:
        """Do nothing: these fail by themselves."""

    async def lost_creates(self) -> int:
        return 0

    async def predictions(self) -> list[dict[str, Any]]:
        """Return what was asked for: upstream, prompt, and whether it is paid."""
        asked: list[dict[str, Any]] = (await self._client.get("/_asked")).json()
        if self._kept is not None:
            asked += [
                {
                    "upstream": "kept",
                    "prompt": made["input"]["prompt"],
                    "is_paid": True,
                    "text": "".join(made["output"]),
                }
                for made in await self._kept.predictions()
            ]
        return asked

    async def most(self) -> dict[str, int]:
        """Return how many prompts each upstream had at the same time at most."""
        found: dict[str, int] = (await self._client.get("/_most")).json()
        return found

    async def is_there(self) -> bool:
        try:
            return (await self._client.get("/_asked")).is_success
        except httpx2.TransportError:
            return False

    async def close(self) -> None:
        await self._client.aclose()


@asynccontextmanager
async def on_chaos(
    _runner: Runner, folder: Path, _emulator: str, _word: str, _usual: dict[str, Any]
) -> AsyncIterator[Answering]:
    """Seven upstreams behind one alias: dead, refusing, failing, slow, recovering."""
    async with _chaos(folder, has_kept=False) as answering:
        yield answering


@asynccontextmanager
async def on_chaos_and_kept(
    _runner: Runner, folder: Path, _emulator: str, _word: str, _usual: dict[str, Any]
) -> AsyncIterator[Answering]:
    """The same, and one that keeps the answer."""
    async with _chaos(folder, has_kept=True) as answering:
        yield answering


@asynccontextmanager
async def _chaos(folder: Path, *, has_kept: bool) -> AsyncIterator[Answering]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        kept, urls = None, {"dead": "http://127.0.0.1:1/v1"}
        if has_kept:
            kept, urls["kept"] = await enter(kept_process(folder))
        chaos, url = await enter(chat_process(folder, kept))
        for name in ("wrong-key", "limited", *EQUAL, "steady"):
            urls[name] = f"{url}/{name}/v1"
        file = folder / "llamakeep.toml"
        await asyncio.to_thread(file.write_text, _toml(urls))
        settings = {"config": str(file), "default_model": "any"}
        yield Answering(chaos, settings, finds_lost=False)


@asynccontextmanager
async def chat_process(
    folder: Path, kept: Kept | None = None
) -> AsyncIterator[tuple[Chaos, str]]:
    """Run the scripted servers of chats, and yield their account and address."""
    module = "tests.torture.upstreams.chat_server"
    async with scripted_process(folder, module) as port:
        url = f"http://127.0.0.1:{port}"
        chaos = Chaos(url, kept)
        try:
            await until(chaos.is_there)
            yield chaos, url
        finally:
            await chaos.close()


def _toml(urls: Mapping[str, str]) -> str:
    more = {"kept": "background = true\n", "recovering": "unavailable_is_free = true\n"}
    tables = [
        f'[upstreams.{name}]\nkind = "openai"\nbase_url = "{url}"\n'
        f'models = ["m"]\n{more.get(name, "")}'
        for name, url in urls.items()
    ]
    weights = EQUAL | (KEPT if "kept" in urls else {})
    equal = ", ".join(f'"{name}:m" = {weight}' for name, weight in weights.items())
    first = ", ".join(f'"{name}:m"' for name in ("dead", "wrong-key", "limited"))
    alias = f'[aliases]\nany = [{first}, {{ {equal} }}, "steady:m"]\n'
    return "\n".join([*tables, alias])


async def kill_amid_chaos(
    site: Site, *, prompts: int, kills: int, clients: int, longest_pause: float
) -> Outcome:
    """Kill servers at random moments while clients ask."""
    journal = await ask_while_killing(
        site,
        prompts=prompts,
        kills=kills,
        clients=clients,
        longest_pause=longest_pause,
        once_serving=True,
    )
    return await judge_site(site, journal)


async def judge_site(
    site: Site, journal: Sequence[Told], *, done: Counter[str] | None = None
) -> Outcome:
    """Judge when all runs have ended; `done` is what was done but for kills."""
    give_up = time.monotonic() + PATIENCE
    while True:
        history = await site.nodes[-1].history()
        if all(run["status"] in FINAL for run in history.values()):
            break
        assert time.monotonic() < give_up, "runs do not end"
        await asyncio.sleep(0.1)
    verdict, ends = judge_chaos(
        journal,
        history,
        await site.upstream.predictions(),
        strikes=await site.all_strikes(),
        unfound=await runs_without_handle(site.database_url),
    )
    done = (done or Counter()) + Counter({"kills": site.kills}) + ends
    return Outcome(done=+done, verdict=verdict, is_timed=False)


def judge_chaos(
    journal: Sequence[Told],
    history: Mapping[str, Mapping[str, Any]],
    asked: Sequence[Mapping[str, Any]],
    *,
    strikes: Sequence[float],
    unfound: Collection[str],
) -> tuple[Verdict, Counter[str]]:
    """
    Compare what clients were told, what the history says, and what upstreams say.

    Returns:
        What is wrong, and how many runs ended how.
    """
    verdict = Verdict(prompts=len(journal), resumed=sum(t.resumed for t in journal))
    ends: Counter[str] = Counter()
    of_prompt: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in asked:
        of_prompt[each["prompt"]].append(each)
    for told in journal:
        mine = of_prompt[told.prompt]
        if sum(each["is_paid"] for each in mine) > 1:
            names = [each["upstream"] for each in mine]
            verdict.twice.append(f"{told.prompt!r} is paid for twice: {names}")
        if not told.run_ids:
            verdict.lost.append(f"{told.prompt!r} was never accepted ({told.problem})")
        for run_id in told.run_ids:
            if (run := history.get(run_id)) is None:
                verdict.lost.append(f"{run_id} is not in the history")
                continue
            ends[run["status"]] += 1
            may_be_unfound = run_id in unfound and _was_struck(run, strikes)
            verdict.lost += _losses(run, told, mine, may_be_unfound=may_be_unfound)
            verdict.wrong += _lies(run, told, mine)
    return verdict, ends


def _losses(
    run: Mapping[str, Any],
    told: Told,
    mine: Sequence[Mapping[str, Any]],
    *,
    may_be_unfound: bool,
) -> Iterator[str]:
    """Yield why a run should have been answered that was not."""
    upstream, status = _upstream(run["model"]), run["status"]
    last = mine[-1] if mine else None
    is_allowed = {
        "succeeded": True,
        "canceled": told.is_canceled,
        # One that was not sent yet is certainly not paid.
        "interrupted": may_be_unfound and run["started_at"] is not None,
        "failed": upstream in DIES and last is not None and last["is_paid"],
    }
    if not is_allowed.get(status, False):
        yield f"{run['id']} has {status} at {run['model']}: {run['error']}"


def _lies(
    run: Mapping[str, Any], told: Told, mine: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield where a run says otherwise than the upstreams, or than clients heard."""
    run_id, upstream = run["id"], _upstream(run["model"])
    passed = run["route"]["passed"]
    way = [_upstream(each["model"]) for each in passed if each["was_asked"]]
    if strange := [name for name in way if name not in PASSED]:
        yield f"{run_id} passed {strange} by, which may have been paid"
    there = [each["upstream"] for each in mine]
    expected = [name for name in way if name != "dead"]
    may_be_unasked = run["status"] in {"interrupted", "canceled"}
    if there != [*expected, upstream] and not (may_be_unasked and there == expected):
        yield f"{run_id} says it went to {[*expected, upstream]}, but it was {there}"
    if run["status"] == "succeeded" and mine and run["response"] != mine[-1]["text"]:
        yield f"{run_id} has {run['response']!r} instead of {mine[-1]['text']!r}"
    if told.status not in {None, run["status"]}:
        yield f"{run_id} is {run['status']}, but a client was told {told.status}"
    for text in told.texts:
        if text != run["response"]:
            yield f"{run_id} keeps {run['response']!r}, but a client was told {text!r}"


def _upstream(model: str) -> str:
    return model.partition(":")[0]


def _was_struck(run: Mapping[str, Any], strikes: Sequence[float]) -> bool:
    """Return whether a server died while a run was going on."""
    began, ended = (
        datetime.fromisoformat(run[name]).timestamp()
        for name in ("created_at", "finished_at")
    )
    return any(began <= strike <= ended for strike in strikes)
