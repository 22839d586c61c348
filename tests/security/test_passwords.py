import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from llamakeep.credentials.passwords import (
    Passwords,
    check_password_rules,
    hash_password,
)
from llamakeep.errors import InvalidRequest, ServerBusy
from tests.waiting import LONG_ENOUGH

CHEAP = PasswordHasher(memory_cost=8, time_cost=1, parallelism=1)


class GatedHasher(PasswordHasher):
    """Says no to everything once its gate is open, and counts what goes on at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.checked = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def verify(self, *_: object) -> bool:  # type: ignore[override]  # it never says yes
        with self._lock:
            self.checked += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.gate.wait(LONG_ENOUGH)
        time.sleep(0.0005)
        with self._lock:
            self.at_once -= 1
        raise VerifyMismatchError


class RecordingHasher(PasswordHasher):
    """Remembers which hashes were checked."""

    def __init__(self) -> None:
        super().__init__(memory_cost=8, time_cost=1, parallelism=1)
        self.checked: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - its name there
        self.checked.append(str(hash))
        return super().verify(hash, password)


class TrustingHasher(PasswordHasher):
    def verify(self, *_: object) -> Literal[True]:
        return True


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    passwords = Passwords(2, hasher=CHEAP)
    yield passwords
    await passwords.close()


async def until_checking(hasher: GatedHasher, count: int) -> None:
    async with asyncio.timeout(LONG_ENOUGH):
        while hasher.at_once < count:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.001)


async def test_the_right_password_fits_and_a_wrong_one_does_not(
    passwords: Passwords,
) -> None:
    password_hash = await passwords.hash("correct horse")

    assert await passwords.verify(password_hash, "correct horse")
    assert not await passwords.verify(password_hash, "correct horsE")


async def test_a_password_fits_however_its_accents_were_typed(
    passwords: Passwords,
) -> None:
    password_hash = await passwords.hash("caf\u00e9 au lait")

    assert await passwords.verify(password_hash, "cafe\u0301 au lait")


async def test_nothing_fits_a_user_who_is_unknown_or_has_no_password(
    passwords: Passwords,
) -> None:
    assert not await passwords.verify(None, "")
    assert not await passwords.verify(None, "correct horse")


async def test_an_unknown_user_stays_out_even_if_the_stand_in_hash_fits() -> None:
    passwords = Passwords(1, hasher=TrustingHasher())

    assert await passwords.verify("$argon2id$", "correct horse")
    assert not await passwords.verify(None, "correct horse")
    await passwords.close()


async def test_a_password_that_is_too_short_to_be_set_can_still_be_tried(
    passwords: Passwords,
) -> None:
    password_hash = await passwords.hash("secret1")

    assert await passwords.verify(password_hash, "secret1")


async def test_a_password_that_is_too_long_never_fits(passwords: Passwords) -> None:
    password_hash = await passwords.hash("x" * 1025)

    assert not await passwords.verify(password_hash, "x" * 1025)


async def test_half_a_surrogate_pair_is_just_a_wrong_password(
    passwords: Passwords,
) -> None:
    password_hash = await passwords.hash("correct horse")

    assert not await passwords.verify(password_hash, "correct \ud800")


async def test_what_the_command_line_hashed_fits_at_login() -> None:
    password_hash = hash_password("correct horse")

    passwords = Passwords(1)

    assert await passwords.verify(password_hash, "correct horse")
    await passwords.close()


def test_passwords_are_hashed_with_argon2id_19_mib_2_rounds_1_lane() -> None:
    password_hash = hash_password("correct horse")

    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_only_a_hash_of_other_strength_needs_to_be_made_again(
    passwords: Passwords,
) -> None:
    assert not passwords.needs_rehash(await passwords.hash("correct horse"))
    assert passwords.needs_rehash(hash_password("correct horse"))


async def test_the_stand_in_for_unknown_users_is_as_strong_as_a_real_hash(
    passwords: Passwords,
) -> None:
    real = await passwords.hash("correct horse")

    assert extract_parameters(passwords._dummy_hash) == extract_parameters(real)


async def test_an_unknown_user_takes_as_much_work_as_a_wrong_password() -> None:
    hasher = RecordingHasher()
    passwords = Passwords(1, hasher=hasher)
    password_hash = await passwords.hash("correct horse")

    for each in (password_hash, None):
        assert not await passwords.verify(each, "wrong")

    known, unknown = map(extract_parameters, hasher.checked)
    assert known == unknown
    await passwords.close()


async def test_200_logins_at_once_are_checked_two_at_a_time() -> None:
    hasher = GatedHasher()
    passwords = Passwords(2, max_waiting=198, hasher=hasher)
    hasher.gate.set()

    answers = await asyncio.gather(
        *(passwords.verify(None, "correct horse") for _ in range(200))
    )

    assert answers == [False] * 200
    assert hasher.most_at_once == 2
    await passwords.close()


async def test_a_client_that_hangs_up_does_not_make_room_before_its_work_is_done() -> (
    None
):
    hasher = GatedHasher()
    passwords = Passwords(1, hasher=hasher)
    gone = asyncio.create_task(passwords.verify(None, "first"))
    await until_checking(hasher, 1)

    gone.cancel()
    waiting = asyncio.create_task(passwords.verify(None, "second"))
    await asyncio.wait([waiting], timeout=0.02)
    hasher.gate.set()

    assert not await waiting
    assert hasher.most_at_once == 1
    await passwords.close()


async def test_a_client_that_hangs_up_while_waiting_costs_nothing() -> None:
    hasher = GatedHasher()
    passwords = Passwords(1, hasher=hasher)
    first = asyncio.create_task(passwords.verify(None, "first"))
    await until_checking(hasher, 1)
    second = asyncio.create_task(passwords.verify(None, "second"))
    await asyncio.sleep(0)

    second.cancel()
    hasher.gate.set()
    await first
    await passwords.close()

    assert hasher.checked == 1


async def test_logins_beyond_the_queue_are_refused_until_there_is_room() -> None:
    hasher = GatedHasher()
    passwords = Passwords(1, max_waiting=1, hasher=hasher)
    accepted = [
        asyncio.create_task(passwords.verify(None, password)) for password in "ab"
    ]
    await until_checking(hasher, 1)

    with pytest.raises(ServerBusy) as refused:
        await passwords.verify(None, "c")

    assert refused.value.retry_after == 1
    hasher.gate.set()
    await asyncio.gather(*accepted)
    assert not await passwords.verify(None, "c")
    await passwords.close()


async def test_closing_leaves_no_thread_behind() -> None:
    passwords = Passwords(2, hasher=CHEAP)
    before = set(threading.enumerate())
    await passwords.verify(None, "correct horse")

    await passwords.close()

    left = set(threading.enumerate()) - before
    assert [thread for thread in left if thread.name.startswith("password")] == []


@pytest.mark.parametrize("length", [8, 1024])
def test_a_password_of_8_to_1024_characters_may_be_set(length: int) -> None:
    check_password_rules("x" * length)


@pytest.mark.parametrize("length", [0, 7, 1025])
def test_a_shorter_or_longer_password_may_not_be_set(length: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_password_rules("x" * length)

    assert [error.field for error in refused.value.errors] == ["password"]
