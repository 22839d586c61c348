"""The table of a run's life, and a walk through it against a real database."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from llamakeep.domain import (
    UNFINISHED,
    Effect,
    ForbiddenTransition,
    Run,
    RunEvent,
    RunStatus,
    User,
)
from llamakeep.domain.states import ENDS, TABLE, follow
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.runs.steps import Attached
from tests.storage.running import ended, new_run

NODES = "node_1", "node_2"
LATE = 3600.0
Step = Callable[[Storage, Run], Awaitable[object]]


async def flush(storage: Storage, run: Run) -> bool:
    await storage.flush([replace(run, response="Be")])
    return True


async def attach(storage: Storage, run: Run) -> bool:
    return await storage.attach(run, f"answer to {run.id}") is Attached.KEPT


async def request_cancel(storage: Storage, run: Run) -> bool:
    return (await storage.request_cancel(owner_of(run), run.id)).cancel_requested


async def take_over(storage: Storage, run: Run) -> bool:
    taken = await storage.take_over(NODES[1])
    return [each.id for each in taken] == [run.id]


def end_as(status: RunStatus) -> Step:
    return lambda storage, run: storage.finish(ended(run, status))


STEPS: Mapping[RunEvent, Step] = {
    RunEvent.CLAIM: lambda storage, run: storage.claim(run),
    RunEvent.ATTACH: attach,
    RunEvent.FLUSH: flush,
    RunEvent.REQUEUE: lambda storage, run: storage.requeue(run),
    RunEvent.TAKE_OVER: take_over,
    RunEvent.REQUEST_CANCEL: request_cancel,
} | {event: end_as(status) for event, status in ENDS.items()}
"""The storage method for each event that has one."""


def owner_of(run: Run) -> User:
    return User(run.user_id, "", run.created_at)


async def run_that_is(storage: Storage, user: User, status: RunStatus) -> Run:
    """Return a run of the first node that has come so far, as it is stored."""
    is_queued = status is RunStatus.QUEUED
    begins = RunStatus.QUEUED if is_queued else RunStatus.STARTING
    run = new_run(user, status=begins, attempt=int(not is_queued))
    await storage.accept(run, node=NODES[0])
    if status is RunStatus.PROCESSING:
        await storage.flush([run])
    if status.is_final:
        await storage.finish(ended(run, status))
    return await storage.get_run(user, run.id)


@pytest.mark.parametrize("event", STEPS)
async def test_each_event_changes_only_runs_to_which_it_can_happen(
    storage: Storage, alice: User, event: RunEvent
) -> None:
    for status in RunStatus:
        run = await run_that_is(storage, alice, status)

        has_happened = await STEPS[event](storage, run)

        stored = await storage.get_run(alice, run.id)
        transition = TABLE.get((status, event))
        if transition is None:
            assert stored == run
            continue
        assert has_happened
        assert stored.status is transition.status
        is_next = Effect.NEXT_ATTEMPT in transition.effects
        assert stored.attempt == run.attempt + is_next
        if not stored.status.is_final:
            await storage.finish(ended(stored, RunStatus.FAILED))


@pytest.mark.parametrize("status", RunStatus)
def test_a_run_has_ended_or_can_end(status: RunStatus) -> None:
    possible = {event for old, event in TABLE if old is status}

    assert status.is_final == (status not in UNFINISHED) == (not possible)
    assert status.is_final or possible >= ENDS.keys() - {RunEvent.SUCCEED}


def test_every_end_can_be_reached_and_nothing_follows() -> None:
    reached = {transition.status for transition in TABLE.values()}

    assert reached == set(RunStatus)
    assert {status for status in reached if status.is_final} == set(ENDS.values())


def test_what_cannot_happen_raises() -> None:
    with pytest.raises(ForbiddenTransition, match="queued cannot ATTACH"):
        follow(RunStatus.QUEUED, RunEvent.ATTACH)
    with pytest.raises(ForbiddenTransition, match="succeeded cannot CANCEL"):
        follow(RunStatus.SUCCEEDED, RunEvent.CANCEL)


def test_only_a_claim_and_a_take_over_begin_an_attempt() -> None:
    begins = {
        event
        for (_, event), each in TABLE.items()
        if Effect.NEXT_ATTEMPT in each.effects
    }

    assert begins == {RunEvent.CLAIM, RunEvent.TAKE_OVER}


class Walk(RuleBasedStateMachine):
    """
    One run and its model; another one as soon as the run has ended.

    Args:
        storage: Where it is.
        wait: Waits for what storage does.
        user: Whose it is.
    """

    def __init__(
        self,
        storage: Storage,
        wait: Callable[[Coroutine[Any, Any, Any]], Any],
        user: User,
    ) -> None:
        super().__init__()
        self._storage = storage
        self._wait = wait
        self._user = user
        self._begin(RunStatus.QUEUED)

    def _begin(self, status: RunStatus) -> None:
        attempt = int(status is RunStatus.STARTING)
        run = new_run(self._user, status=status, attempt=attempt)
        if not attempt:
            run = replace(run, started_at=None)
        self._owner: str | None = NODES[0]
        self._run: Run = self._wait(self._storage.accept(run, node=self._owner))

    def _expect(self, event: RunEvent, *, is_stale: bool = False, **facts: Any) -> bool:
        """Let `event` happen to the model if it can; return whether it can."""
        transition = TABLE.get((self._run.status, event))
        if transition is None:
            with pytest.raises(ForbiddenTransition):
                follow(self._run.status, event)
        if transition is None or is_stale:
            return False
        self._run = replace(
            self._run,
            status=transition.status,
            attempt=self._run.attempt + (Effect.NEXT_ATTEMPT in transition.effects),
            **facts,
        )
        if Effect.DISOWN in transition.effects:
            self._owner = None
        return True

    def _fenced(self, is_stale: bool) -> Run:
        return replace(self._run, attempt=self._run.attempt - is_stale)

    @rule(is_stale=st.booleans())
    def claim(self, is_stale: bool) -> None:
        run = self._fenced(is_stale)
        is_mine = self._wait(self._storage.claim(run))
        assert is_mine == self._expect(RunEvent.CLAIM, is_stale=is_stale)

    @rule(is_stale=st.booleans(), handle=st.sampled_from(["one", "two"]))
    def attach(self, is_stale: bool, handle: str) -> None:
        run = self._fenced(is_stale)
        handle = f"{handle} of {run.id}"
        attached = self._wait(self._storage.attach(run, handle))
        can = self._expect(RunEvent.ATTACH, is_stale=is_stale, handle=handle)
        assert (attached is Attached.KEPT) == can

    @rule(is_stale=st.booleans(), text=st.text("ab", min_size=1))
    def flush(self, is_stale: bool, text: str) -> None:
        run = replace(self._fenced(is_stale), response=text)
        self._wait(self._storage.flush([run]))
        self._expect(RunEvent.FLUSH, is_stale=is_stale, response=text)

    @rule(is_stale=st.booleans())
    def requeue(self, is_stale: bool) -> None:
        run = self._fenced(is_stale)
        is_mine = self._wait(self._storage.requeue(run))
        # What has a handle was begun.
        can = run.handle is None and self._expect(RunEvent.REQUEUE, is_stale=is_stale)
        assert is_mine == can

    @rule(node=st.sampled_from(NODES))
    def look_at_held_runs(self, node: str) -> None:
        held = self._wait(self._storage.held_runs(node))
        is_held = node == self._owner
        found = [(each.run_id, each.attempt) for each in held]
        assert found == ([(self._run.id, self._run.attempt)] if is_held else [])

    @rule(node=st.sampled_from(NODES))
    def take_over(self, node: str) -> None:
        hidden = self._run.status is RunStatus.STARTING and self._run.attempt > 1
        taken: Sequence[Run] = self._wait(self._storage.take_over(node))
        can = self._expect(  # neither node has joined
            RunEvent.TAKE_OVER,
            common_length=0 if hidden else self._run.common_length,
        )
        assert [each.id for each in taken] == ([self._run.id] if can else [])
        if can:
            self._owner = node

    @rule()
    def request_cancel(self) -> None:
        self._wait(self._storage.request_cancel(self._user, self._run.id))
        self._expect(RunEvent.REQUEST_CANCEL, cancel_requested=True)

    @rule(is_stale=st.booleans(), event=st.sampled_from(list(ENDS)))
    def end(self, is_stale: bool, event: RunEvent) -> None:
        run = ended(self._fenced(is_stale), ENDS[event], response="ab")
        is_mine = self._wait(self._storage.finish(run))
        can = self._expect(
            event, is_stale=is_stale, response="ab", finished_at=run.finished_at
        )
        assert is_mine == can

    @rule(status=st.sampled_from([RunStatus.QUEUED, RunStatus.STARTING]))
    def begin_another(self, status: RunStatus) -> None:
        if self._run.status.is_final:
            self._begin(status)

    @invariant()
    def the_row_is_as_the_table_says(self) -> None:
        stored: Run = self._wait(self._storage.get_run(self._user, self._run.id))
        # A clock is started by claims and stopped by requeuing, and else left alone.
        assert stored == replace(self._run, started_at=stored.started_at)
        assert (stored.status is RunStatus.QUEUED) <= (stored.started_at is None)

    def teardown(self) -> None:
        if not self._run.status.is_final:
            run = ended(self._run, RunStatus.FAILED)
            assert self._wait(self._storage.finish(run))


@pytest.mark.slow
def test_storage_does_what_the_table_says_and_nothing_else(
    sqlite_url: str,
) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def open_one() -> tuple[Storage, User]:
            storage = await stack.enter_async_context(open_storage(sqlite_url))
            return storage, await storage.add_user("alice", None)

        storage, alice = runner.run(open_one())
        try:
            run_state_machine_as_test(
                cast("type[Walk]", lambda: Walk(storage, runner.run, alice)),
                settings=settings(
                    max_examples=20,
                    stateful_step_count=30,
                    database=None,
                    derandomize=True,
                ),
            )
        finally:
            runner.run(stack.aclose())
