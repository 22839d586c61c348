"""Backups that are taken while servers are killed, restored, and served from."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.processes import Runner, ServerProcess
from tests.torture.checker import FINAL, Told, Verdict, check
from tests.torture.commands import failure_of, start_command
from tests.torture.faults import ask_during
from tests.torture.scenarios import PATIENCE, Outcome, judge, kill
from tests.torture.site import Site, server_settings
from tests.torture.stage import NewDatabase
from tests.torture.upstreams.answering import replicate_settings

EVERY = 2.0
"""Seconds from the beginning of a backup to that of the next one."""


@dataclass(frozen=True)
class Backup:
    """A backup, and what clients relied on when it was begun."""

    file: Path
    acknowledged: Sequence[tuple[Told, frozenset[str]]]
    """Prompts, and the ids of their runs that clients knew by then."""


class RestoreFailed(Exception):
    """A backup that could not be restored; it says why."""


async def back_up_while_killing(
    site: Site,
    runner: Runner,
    folder: Path,
    new_database: NewDatabase,
    *,
    kills: int,
    longest_pause: float,
    restores: int,
    every: float = EVERY,
) -> Outcome:
    """
    Take backups while clients ask and servers are killed; restore some, and the last.

    The servers are stopped before a server is started on a restored database, as the
    documentation wants it: the prompts in it have to end there, with the answers that
    they got, and without a second prediction.

    Args:
        site: Whose servers.
        runner: Starts the servers of restored databases.
        folder: For files.
        new_database: Makes a database to restore to.
        kills: So many servers are killed.
        longest_pause: Between two kills, in seconds.
        restores: How many backups are restored at most, beside the last one.
        every: Seconds from the beginning of a backup to that of the next one.
    """
    await site.replicate.lose_creates()
    journal: list[Told] = []
    backups: list[Backup] = []
    failures: list[str] = []

    async def breaking() -> None:
        killing = asyncio.create_task(kill(site, kills, longest_pause))
        while not killing.done():
            began = time.monotonic()
            backup = Backup(folder / f"backup-{len(backups)}", _acknowledged(journal))
            url, command = site.database_url, ("backup", str(backup.file))
            process = await start_command(folder, *command, database_url=url)
            if (failure := await failure_of(process)) is None:
                backups.append(backup)
            else:
                failures.append(f"a backup failed: {failure}")
            await asyncio.sleep(max(0, every - (time.monotonic() - began)))
        await killing

    await ask_during(site, breaking(), journal=journal)
    outcome = await judge(site, journal)
    outcome.verdict.unclean += failures
    for node in site.nodes:
        await node.stop()
    assert backups, failures
    *others, last = backups
    chosen = site.chance.sample(others, min(restores, len(others)))
    for backup in [*chosen, last]:
        place = folder / f"restored-{backup.file.name}"
        await asyncio.to_thread(place.mkdir)
        try:
            async with new_database(place) as url:
                history = await _served_from(
                    backup, runner, place, url=url, emulator=site.replicate.url
                )
        except RestoreFailed as failure:
            outcome.verdict.unclean.append(f"{backup.file.name}: {failure}")
        else:
            predictions = await site.replicate.predictions()
            outcome.verdict += _judge(backup, journal, history, predictions)
    outcome.done += Counter({"backups": len(backups), "restored": len(chosen) + 1})
    return outcome


def _acknowledged(
    journal: Sequence[Told],
) -> Sequence[tuple[Told, frozenset[str]]]:
    return [(told, frozenset(told.run_ids)) for told in journal if told.run_ids]


async def _served_from(
    backup: Backup, runner: Runner, folder: Path, *, url: str, emulator: str
) -> Mapping[str, Mapping[str, Any]]:
    """Restore a backup, let a server finish what is in it, and return its history."""
    command = "restore", str(backup.file)
    process = await start_command(folder, *command, database_url=url)
    if (failure := await failure_of(process)) is not None:
        raise RestoreFailed(failure)
    settings = server_settings(url) | replicate_settings(emulator)
    server = ServerProcess(runner, folder, is_real=True, settings=settings)
    try:
        await server.start()
        give_up = time.monotonic() + PATIENCE
        while True:
            history = await server.history()
            is_over = all(run["status"] in FINAL for run in history.values())
            if is_over or time.monotonic() > give_up:
                return history
            await asyncio.sleep(0.1)
    finally:
        await server.close()


def _judge(
    backup: Backup,
    journal: Sequence[Told],
    history: Mapping[str, Mapping[str, Any]],
    predictions: Sequence[Mapping[str, Any]],
) -> Verdict:
    """Compare a restored database with what clients of the first one were told."""
    acknowledged = dict(backup.acknowledged)
    runs_of = {run["prompt"]: run_id for run_id, run in history.items()}
    there = []
    for told in journal:
        ids = set(acknowledged.get(told, ()))
        if told.prompt in runs_of:
            ids.add(runs_of[told.prompt])
        if ids:
            # Also what clients have read since the backup is the prediction's text.
            there.append(Told(prompt=told.prompt, run_ids=ids, texts=told.texts))
    verdict = check(there, history, predictions)
    verdict.prompts = verdict.resumed = 0  # they were counted with the first database
    for faults in (verdict.lost, verdict.wrong, verdict.twice):
        faults[:] = [f"restored from {backup.file.name}: {each}" for each in faults]
    return verdict
