"""Who gets a slot, when; and that none is ever lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamakeep.engine.waiting.slots import Slots

USERS = ("alice", "bob", "carol")


@dataclass
class Crowd:
    """Runs that want slots, and keep them until they are told to go."""

    slots: Slots
    began: list[str] = field(default_factory=list)
    """Who got a slot, in order, each as `user1`, `user2`, …"""
    running: list[str] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _over: dict[str, asyncio.Event] = field(default_factory=dict)

    def come(self, *users: str) -> None:
        for user in users:
            so_far = sum(name.startswith(user) for name in self.tasks)
            name = f"{user}{so_far + 1}"
            self._over[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._run(user, name))

    async def end(self, *names: str) -> None:
        for name in names:
            self._over[name].set()
            await settle()

    async def _run(self, user: str, name: str) -> None:
        self.slots.enter(user)
        try:
            await self.slots.wait(user)
        finally:
            self.slots.leave(user)
        self.began.append(name)
        self.running.append(name)
        try:
            await self._over[name].wait()
        finally:
            self.running.remove(name)
            self.slots.release()


async def settle() -> None:
    """Let everything happen that is going to."""
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def crowd(number: int, *users: str) -> AsyncIterator[Crowd]:
    found = Crowd(Slots(number))
    found.come(*users)
    await settle()
    yield found
    for task in found.tasks.values():
        task.cancel()
    await asyncio.gather(*found.tasks.values(), return_exceptions=True)


async def test_users_take_turns_whatever_the_order_in_which_they_came() -> None:
    flood = ["alice"] * 4
    async with crowd(1, *flood, "bob", "carol", "bob") as runs:
        for _ in range(7):
            await runs.end(runs.running[0])

        assert runs.began == [
            *("alice1", "alice2", "bob1", "carol1"),
            *("alice3", "bob2", "alice4"),
        ]


async def test_a_flood_delays_somebody_elses_prompt_by_one_turn() -> None:
    async with crowd(2, *["alice"] * 500) as runs:
        runs.come("bob")
        await settle()

        await runs.end("alice1", "alice2")

        assert runs.began == ["alice1", "alice2", "alice3", "bob1"]


async def test_one_users_runs_are_first_in_first_out() -> None:
    async with crowd(2, *["alice"] * 6) as runs:
        for n in range(1, 7):
            await runs.end(f"alice{n}")

        assert runs.began == [f"alice{n}" for n in range(1, 7)]


async def test_a_run_that_is_canceled_in_line_lets_the_next_one_move_up() -> None:
    async with crowd(1, "alice", "bob", "bob", "carol") as runs:
        runs.tasks["bob1"].cancel()
        await settle()

        await runs.end("alice1")

        assert runs.began == ["alice1", "bob2"]


async def test_a_user_whose_only_run_is_canceled_is_not_waited_for() -> None:
    async with crowd(1, "alice", "bob", "carol") as runs:
        runs.tasks["bob1"].cancel()

        await runs.end("alice1")  # at the same moment

        assert runs.began == ["alice1", "carol1"]


async def test_a_slot_that_comes_together_with_a_cancel_goes_to_the_next_run() -> None:
    async with crowd(1, "alice", "bob", "carol") as runs:
        runs._over["alice1"].set()
        await asyncio.sleep(0)  # bob's turn has come, and bob does not know yet
        runs.tasks["bob1"].cancel()
        await settle()

        assert runs.began == ["alice1", "carol1"]


async def test_a_run_that_is_canceled_with_its_slot_gives_it_back() -> None:
    async with crowd(1, "alice", "bob") as runs:
        runs.tasks["alice1"].cancel()
        await settle()

        assert runs.running == ["bob1"]


async def test_a_run_that_comes_back_waits_behind_the_others() -> None:
    slots = Slots(1)
    async with crowd(1) as others:
        others.slots = slots
        slots.take()
        others.come("alice", "bob")
        await settle()
        slots.release()
        again = asyncio.create_task(slots.wait("alice"))
        await settle()

        await others.end("alice1", "bob1")

        assert others.began == ["alice1", "bob1"]
        assert again.done()
        slots.release()
    assert slots.free == 1


async def test_only_runs_without_a_slot_count_as_waiting() -> None:
    async with crowd(1, "alice", "alice", "alice", "bob") as runs:
        assert [runs.slots.waiting(user) for user in USERS] == [2, 1, 0]

        runs.tasks["alice3"].cancel()
        await settle()

        assert [runs.slots.waiting(user) for user in USERS] == [1, 1, 0]


async def test_more_slots_are_handed_out_at_once() -> None:
    async with crowd(1, "alice", "alice", "bob", "carol") as runs:
        runs.slots.resize(3)
        await settle()

        assert runs.running == ["alice1", "alice2", "bob1"]


async def test_fewer_slots_end_no_run_and_let_none_begin_too_early() -> None:
    async with crowd(3, "alice", "bob", "carol", "alice") as runs:
        runs.slots.resize(1)
        await runs.end("alice1", "bob1")
        assert runs.running == ["carol1"]

        await runs.end("carol1")

        assert runs.running == ["alice2"]


def test_a_slot_is_taken_only_if_there_is_one() -> None:
    slots = Slots(1)
    slots.take()

    with pytest.raises(AssertionError):
        slots.take()


STEPS = st.one_of(
    st.tuples(st.just("come"), st.sampled_from(USERS)),
    st.tuples(st.sampled_from(["end", "cancel"]), st.integers(0, 30)),
    st.tuples(st.just("settle"), st.just(0)),
)


@pytest.mark.slow
@given(st.integers(1, 3), st.lists(STEPS, max_size=40))
def test_no_slot_is_ever_lost_or_idle(
    number: int, steps: Sequence[tuple[str, str | int]]
) -> None:
    async def go_through() -> None:
        async with crowd(number) as runs:
            for what, which in steps:
                if isinstance(which, str):
                    runs.come(which)
                elif what == "settle":
                    await settle()
                elif runs.tasks:
                    name = list(runs.tasks)[which % len(runs.tasks)]
                    if what == "cancel":
                        runs.tasks[name].cancel()
                    else:
                        runs._over[name].set()
                assert len(runs.running) <= number
            await settle()
            # Only those that run or wait are left, and none waits in vain.
            left = sum(not task.done() for task in runs.tasks.values())
            assert len(runs.running) == min(number, left)
            slots = runs.slots
        assert [slots.waiting(user) for user in USERS] == [0, 0, 0]
        for _ in range(number):
            slots.take()
        assert not slots.free

    asyncio.run(go_through())
