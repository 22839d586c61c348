"""`llamakeep user limits`."""

import pytest

from tests.cli.conftest import Type
from tests.cli.users.test_users import add


def test_limits_are_set_one_by_one_and_dropped_together(typed: Type) -> None:
    add(typed, "alice")

    before = typed("user", "limits", "alice")
    typed("user", "limits", "alice", "--tokens-per-day", "1000")
    both = typed("user", "limits", "ALICE", "--dollars-per-month", "2.5")
    after = typed("user", "limits", "alice", "--clear")

    assert "Nothing is set" in before.stdout
    assert "tokens_per_day" in both.stdout
    assert "1000" in both.stdout
    assert "2.5" in both.stdout
    assert "Nothing is set" in after.stdout


@pytest.mark.parametrize("wrong", ["-1", "many", "1e30"])
def test_a_limit_that_makes_no_sense_sets_nothing(typed: Type, wrong: str) -> None:
    add(typed, "alice")

    refusal = typed("user", "limits", "alice", f"--dollars-per-day={wrong}")

    assert refusal.exit_code != 0
    assert "Nothing is set" in typed("user", "limits", "alice").stdout


def test_nobody_has_no_limits(typed: Type) -> None:
    add(typed, "alice")

    assert "nobody" in typed("user", "limits", "nobody").stderr


def test_what_a_user_may_ask_is_set_and_shown(typed: Type) -> None:
    add(typed, "alice")

    before = typed("user", "models", "alice")
    typed("user", "models", "ALICE", "own:*", "fast")
    some = typed("user", "models", "alice")
    both = typed("user", "models", "alice", "fast", "--all")
    after = typed("user", "models", "alice", "--all")

    assert before.stdout == after.stdout == "alice may ask all models.\n"
    assert some.stdout == "alice may ask: fast, own:*\n"
    assert both.exit_code == 2
