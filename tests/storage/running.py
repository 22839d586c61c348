"""Runs in the states that storage tests begin with."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import insert

from llamakeep.deletion.users import purge_one
from llamakeep.domain import Actor, Run, RunStatus, User, new_id, utc_now
from llamakeep.storage import Storage
from llamakeep.storage.accounts.tables import users
from llamakeep.storage.runs.lookups import IdempotencyKey
from llamakeep.storage.runs.rows import to_row
from llamakeep.storage.runs.steps import conversation_of

NODE = "node_1"
LEASE = 30.0
LATE = 3600.0


def new_run(user: User, prompt: str = "Why?", **facts: Any) -> Run:
    """Return a run that was just started, changed by `facts`."""
    run_id = new_id("run_")
    now = utc_now()
    run = Run(
        id=run_id,
        user_id=user.id,
        status=RunStatus.STARTING,
        attempt=1,
        provider="scripted",
        model="parrot",
        prompt=prompt,
        conversation_id=conversation_of(run_id),
        created_at=now,
        started_at=now,
    )
    return replace(run, **facts)


def older_row(run: Run) -> dict[str, Any]:
    """Return the columns of a run that tables of an earlier version have."""
    later = {"last_message", "output", "end_user", "store", "source"}
    later |= {"first_word_after", "cached_tokens", "reasoning_tokens"}
    return {name: value for name, value in to_row(run).items() if name not in later}


async def add_older_user(storage: Storage) -> User:
    """Add a user to tables of an earlier version."""
    alice = User(new_id("user_"), "alice", utc_now())
    row = insert(users).values(
        id=alice.id,
        username="alice",
        username_key="alice",
        created_at=alice.created_at,
    )
    await storage._database.write(lambda c: c.execute(row).close())
    return alice


async def start(
    storage: Storage,
    user: User,
    prompt: str = "Why?",
    *,
    idempotency_key: IdempotencyKey | None = None,
    **facts: Any,
) -> Run:
    """Keep a run of `NODE`, which is not alive until it joins, and return it."""
    return await storage.accept(
        new_run(user, prompt, **facts),
        node=NODE,
        idempotency_key=idempotency_key,
    )


async def taken_from(node: str, storage: Storage) -> Sequence[Run]:
    """Have another node take over what `node` holds, as if that had been silent."""
    await storage.join("node_2", lease=LATE)
    taken: Sequence[Run] = ()
    while not taken:  # it may join again before
        await storage.release_leases([node])
        taken = await storage.take_over("node_2")
    return taken


async def delete_user(storage: Storage, user: User, *, patience: float = 5) -> None:
    """Delete a user with all that is theirs."""
    await storage.delete_user(user.id, actor=Actor(address="here"))
    await purge_one(storage, user, patience=patience)


def ended(run: Run, status: RunStatus = RunStatus.SUCCEEDED, **facts: Any) -> Run:
    """Return `run` as it is to be closed."""
    return replace(run, status=status, finished_at=utc_now(), **facts)
