"""Managing who may come in."""

import asyncio
from pathlib import Path

import pytest

from llamakeep.storage import open_storage
from tests.cli.conftest import Type


def test_the_first_user_of_a_fresh_machine_makes_the_database(
    typed: Type, fresh: Path
) -> None:
    added = typed("user", "add", "carol", "--password-stdin", stdin="secret password\n")

    listed = typed("user", "list")
    assert added.exit_code == 0, added.stderr
    assert listed.stdout.startswith("carol\t")
    assert listed.stdout.endswith("\tenabled\n")
    assert fresh.exists()


def test_a_typed_password_is_asked_for_twice_and_never_shown(typed: Type) -> None:
    added = typed("user", "add", "carol", stdin="mistyped-1\nmistyped-2\n")

    assert "do not match" in added.output
    assert "mistyped" not in added.output


@pytest.mark.parametrize("username", ["", "a b", "ä", "x" * 65, "a/b", "a\n"])
def test_a_username_that_is_hard_to_type_is_refused(typed: Type, username: str) -> None:
    added = typed("user", "add", username, "--password-stdin", stdin="long enough\n")

    assert added.exit_code == 1
    assert "1 to 64 letters" in added.stderr
    assert typed("user", "list").stdout == ""


def test_a_short_password_is_refused(typed: Type) -> None:
    added = typed("user", "add", "carol", "--password-stdin", stdin="short\n")

    assert added.exit_code == 1
    assert "8 to 1024 characters" in added.stderr
    assert typed("user", "list").stdout == ""


def test_a_name_that_is_taken_is_refused_whatever_its_case(typed: Type) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="long enough\n")

    again = typed("user", "add", "Carol", "--password-stdin", stdin="long enough\n")

    assert again.exit_code == 1
    assert "already" in again.stderr


def test_a_disabled_user_is_shown_as_such_until_enabled(typed: Type) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="long enough\n")

    typed("user", "disable", "carol")
    disabled = typed("user", "list").stdout
    typed("user", "enable", "carol")
    enabled = typed("user", "list").stdout

    assert disabled.endswith("\tdisabled\n")
    assert enabled.endswith("\tenabled\n")


async def _password_hash(url: str) -> str | None:
    async with open_storage(url, is_owner=False) as storage:
        known = await storage.find_credentials("carol")
        assert known is not None
        return known.password_hash


def test_a_password_can_be_changed(typed: Type, sqlite_url: str) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="long enough\n")
    before = asyncio.run(_password_hash(sqlite_url))

    changed = typed("user", "passwd", "carol", "--password-stdin", stdin="new enough\n")

    assert changed.exit_code == 0, changed.stderr
    assert before != asyncio.run(_password_hash(sqlite_url))


def test_an_unknown_name_is_noticed_before_a_password_is_asked_for(
    typed: Type,
) -> None:
    changed = typed("user", "passwd", "nobody")

    assert changed.exit_code == 1
    assert "no user 'nobody'" in changed.stderr
    assert "Password" not in changed.output
