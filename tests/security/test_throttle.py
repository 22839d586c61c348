import sys

import pytest

from llamakeep.errors import TooManyAttempts
from llamakeep.limits.throttle import LoginThrottle

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.1"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> LoginThrottle:
    return LoginThrottle(clock)


async def fail(
    throttle: LoginThrottle,
    times: int,
    *,
    username: str = "alice",
    address: str | None = ELSEWHERE,
) -> None:
    for _ in range(times):
        await throttle.failed(username, address)


async def wait_for(
    throttle: LoginThrottle, username: str = "alice", address: str | None = ELSEWHERE
) -> float:
    try:
        await throttle.check(username, address)
    except TooManyAttempts as refused:
        return refused.retry_after or 0
    return 0


async def test_four_failures_slow_nobody_down(throttle: LoginThrottle) -> None:
    await fail(throttle, 4)

    assert await wait_for(throttle) == 0


async def test_the_fifth_failure_makes_the_next_login_wait(
    throttle: LoginThrottle,
) -> None:
    await fail(throttle, 5)

    with pytest.raises(TooManyAttempts) as refused:
        await throttle.check("alice", ELSEWHERE)

    assert refused.value.retry_after == 1
    assert "Wait 1 s and try again." in refused.value.detail


async def test_every_further_failure_doubles_the_wait_up_to_a_minute(
    throttle: LoginThrottle, clock: Clock
) -> None:
    await fail(throttle, 5)
    waits = []

    for _ in range(9):
        waits.append(await wait_for(throttle))
        clock.now += waits[-1]
        await throttle.check("alice", ELSEWHERE)
        await throttle.failed("alice", ELSEWHERE)

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_after_the_wait_one_attempt_passes_and_not_two(
    throttle: LoginThrottle, clock: Clock
) -> None:
    await fail(throttle, 8)
    clock.now += 8

    assert await wait_for(throttle) == 0
    assert await wait_for(throttle) == 8


async def test_a_volley_of_parallel_guesses_is_paid_for_later(
    throttle: LoginThrottle, clock: Clock
) -> None:
    await fail(throttle, 66)

    clock.now += 3600
    await throttle.check("alice", ELSEWHERE)

    assert await wait_for(throttle) == 60


@pytest.mark.slow
async def test_the_longest_memory_of_failures_is_gone_after_five_hours(
    throttle: LoginThrottle, clock: Clock
) -> None:
    await fail(throttle, 100_000, address=None)

    clock.now += 5 * 3600
    await fail(throttle, 4, address=None)

    assert await wait_for(throttle, "alice", None) == 0


async def test_failures_spread_over_hours_slow_nobody_down(
    throttle: LoginThrottle, clock: Clock
) -> None:
    waits = []

    for _ in range(50):
        waits.append(await wait_for(throttle))
        await throttle.failed("alice", ELSEWHERE)
        clock.now += 300

    assert set(waits) == {0}


async def test_a_failure_counts_fully_after_a_long_quiet_time(
    throttle: LoginThrottle, clock: Clock
) -> None:
    await fail(throttle, 1)
    clock.now += 24 * 3600

    await fail(throttle, 5)

    assert await wait_for(throttle) == 1


async def test_a_success_takes_the_delay_away(
    throttle: LoginThrottle, clock: Clock
) -> None:
    await fail(throttle, 8)
    clock.now += 8
    await throttle.check("alice", ELSEWHERE)

    await throttle.succeeded("alice", ELSEWHERE)

    await fail(throttle, 4)
    assert await wait_for(throttle) == 0
    assert await wait_for(throttle, "alice", HOME) == 0


async def test_other_accounts_are_not_slowed_down(throttle: LoginThrottle) -> None:
    await fail(throttle, 8)

    assert await wait_for(throttle, "bob", HOME) == 0


async def test_a_username_in_other_letters_is_the_same_account(
    throttle: LoginThrottle,
) -> None:
    await fail(throttle, 3, username="stra\u00dfe")
    await fail(throttle, 2, username="STRASSE")

    assert await wait_for(throttle, "Strasse") == 1


async def test_guessing_from_many_addresses_is_slowed_down_by_account(
    throttle: LoginThrottle,
) -> None:
    for host in range(5):
        await throttle.failed("alice", f"203.0.113.{host}")

    assert await wait_for(throttle, "alice", HOME) == 1


async def test_guessing_at_many_accounts_is_slowed_down_by_address(
    throttle: LoginThrottle,
) -> None:
    for number in range(20):
        await throttle.failed(f"user{number}", ELSEWHERE)

    assert await wait_for(throttle, "alice", ELSEWHERE) == 1
    assert await wait_for(throttle, "alice", HOME) == 0


async def test_from_a_slow_address_one_attempt_passes_and_not_two(
    throttle: LoginThrottle, clock: Clock
) -> None:
    for number in range(20):
        await throttle.failed(f"user{number}", ELSEWHERE)
    clock.now += 1

    assert await wait_for(throttle, "alice", ELSEWHERE) == 0
    assert await wait_for(throttle, "bob", ELSEWHERE) == 1


async def test_a_guesser_with_an_own_account_is_still_slowed_down_by_address(
    throttle: LoginThrottle, clock: Clock
) -> None:
    for number in range(20):
        await throttle.failed(f"user{number}", ELSEWHERE)
    clock.now += 1

    await throttle.check("mallory", ELSEWHERE)
    await throttle.succeeded("mallory", ELSEWHERE)
    await throttle.check("alice", ELSEWHERE)
    await throttle.failed("alice", ELSEWHERE)

    assert await wait_for(throttle, "mallory", ELSEWHERE) == 2


async def test_people_behind_one_slow_address_can_log_in_one_after_the_other(
    throttle: LoginThrottle, clock: Clock
) -> None:
    await fail(throttle, 30, username="somebody else", address=HOME)
    clock.now += 60
    await throttle.check("alice", HOME)

    await throttle.succeeded("alice", HOME)

    assert await wait_for(throttle, "bob", HOME) == 0


async def test_a_stranger_who_keeps_guessing_does_not_lock_a_user_out_at_home(
    throttle: LoginThrottle,
) -> None:
    await throttle.check("alice", HOME)
    await throttle.succeeded("alice", HOME)

    await fail(throttle, 100, address=ELSEWHERE)

    assert await wait_for(throttle, "alice", HOME) == 0


async def test_a_user_logging_in_at_home_gives_a_stranger_no_new_guesses(
    throttle: LoginThrottle,
) -> None:
    await throttle.succeeded("alice", HOME)
    await fail(throttle, 8, address=ELSEWHERE)

    await throttle.succeeded("alice", HOME)

    assert await wait_for(throttle, "alice", ELSEWHERE) == 8


async def test_guessing_at_a_users_home_is_slowed_down_too(
    throttle: LoginThrottle,
) -> None:
    await throttle.succeeded("alice", HOME)

    await fail(throttle, 5, address=HOME)

    assert await wait_for(throttle, "alice", HOME) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("192.0.2.7", "::ffff:192.0.2.7"),
        ("2001:db8:1:2::1", "2001:0DB8:1:2::1"),
    ],
)
async def test_addresses_of_one_owner_count_as_one(
    throttle: LoginThrottle, one: str, other: str
) -> None:
    for number in range(20):
        await throttle.failed(f"user{number}", one)

    assert await wait_for(throttle, "alice", other) == 1


async def test_different_ipv6_networks_are_different_addresses(
    throttle: LoginThrottle,
) -> None:
    for number in range(20):
        await throttle.failed(f"user{number}", "2001:db8:1:2::1")

    assert await wait_for(throttle, "alice", "2001:db8:1:3::1") == 0


async def test_clients_without_an_address_are_slowed_down_by_account_only(
    throttle: LoginThrottle,
) -> None:
    for number in range(20):
        await throttle.failed(f"user{number}", None)
    await fail(throttle, 5, address=None)

    assert await wait_for(throttle, "bob", None) == 0
    assert await wait_for(throttle, "alice", None) == 1


async def test_memory_is_bounded_and_the_oldest_failures_are_forgotten_first(
    clock: Clock,
) -> None:
    throttle = LoginThrottle(clock, max_keys=100)
    await fail(throttle, 5, username="oldest", address=None)

    for number in range(300):
        await throttle.failed(f"user{number}", f"10.0.{number // 256}.{number % 256}")
        await throttle.succeeded(
            f"other{number}", f"10.0.{number // 256}.{number % 256}"
        )

    assert len(throttle._accounts._counts) == 100
    assert len(throttle._addresses._counts) == 100
    assert len(throttle._places) == 100
    assert await wait_for(throttle, "oldest", None) == 0


async def test_an_account_that_is_still_being_guessed_at_is_not_forgotten(
    clock: Clock,
) -> None:
    throttle = LoginThrottle(clock, max_keys=2)
    await fail(throttle, 4, address=None)
    await fail(throttle, 1, username="bob", address=None)

    await fail(throttle, 1, address=None)
    await fail(throttle, 1, username="carol", address=None)

    assert await wait_for(throttle, "alice", None) == 1


async def test_the_home_of_a_user_who_still_logs_in_there_is_not_forgotten(
    clock: Clock,
) -> None:
    throttle = LoginThrottle(clock, max_keys=2)
    await throttle.succeeded("alice", HOME)
    await throttle.succeeded("bob", HOME)

    await throttle.succeeded("alice", HOME)
    await throttle.succeeded("carol", HOME)
    await fail(throttle, 8, address=ELSEWHERE)

    assert await wait_for(throttle, "alice", HOME) == 0


async def test_a_giant_username_or_address_is_not_kept_in_memory(
    throttle: LoginThrottle,
) -> None:
    await throttle.failed("a" * 1_000_000, "b" * 1_000_000)

    keys = [*throttle._accounts._counts, *throttle._addresses._counts]
    parts = [
        part for key in keys for part in (key if isinstance(key, tuple) else [key])
    ]
    assert max(map(sys.getsizeof, parts)) < 1000


async def test_logging_in_is_not_slowed_down_by_logging_in_often(
    throttle: LoginThrottle,
) -> None:
    waits = [await wait_for(throttle) for _ in range(50)]

    assert waits == [0] * 50
