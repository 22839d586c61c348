"""Starting again what died."""

from llamakeep.restarts import LONGEST, RestartBackoff


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _pause_after_death(pauses: RestartBackoff) -> float:
    pauses.begin()
    pauses.died()
    return pauses.left


def test_the_first_new_start_is_at_once_and_later_ones_after_growing_pauses() -> None:
    pauses = RestartBackoff(Clock())

    left = [_pause_after_death(pauses) for _ in range(9)]

    assert left == [0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_pause_ends() -> None:
    clock = Clock()
    pauses = RestartBackoff(clock)
    for _ in range(3):
        _pause_after_death(pauses)

    clock.now += 0.5
    some_left = pauses.left
    clock.now += 10

    assert (some_left, pauses.left) == (1.5, 0)


def test_what_lived_for_long_has_died_for_the_first_time() -> None:
    clock = Clock()
    pauses = RestartBackoff(clock)
    for _ in range(5):
        _pause_after_death(pauses)

    pauses.begin()
    clock.now += LONGEST + 1
    pauses.died()

    assert pauses.left == 0
