"""Managing who may come in."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from llamakeep.credentials.tokens import digest, is_well_formed
from llamakeep.storage import Storage, open_storage
from tests.cli.conftest import Type

T = TypeVar("T")


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


def in_storage(url: str, work: Callable[[Storage], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with open_storage(url, is_owner=False) as storage:
            return await work(storage)

    return asyncio.run(ask())


def add(typed: Type, username: str, *options: str) -> None:
    added = typed(
        *("user", "add", username, "--password-stdin", *options), stdin="long enough\n"
    )
    assert added.exit_code == 0, added.stderr


def test_an_administrator_is_made_and_listed_as_such(typed: Type) -> None:
    add(typed, "carol", "--admin")
    add(typed, "dave")

    listed = typed("user", "list").stdout.splitlines()

    assert [line.split("\t")[:2] for line in listed] == [
        ["carol", "admin"],
        ["dave", "user"],
    ]


def test_a_role_can_be_given_and_taken_but_not_from_the_last_administrator(
    typed: Type,
) -> None:
    add(typed, "carol", "--admin")
    add(typed, "dave")

    too_early = typed("user", "role", "carol", "user")
    given = typed("user", "role", "dave", "admin")
    taken = typed("user", "role", "carol", "user")

    assert too_early.exit_code == 1
    assert "Make another user an administrator first" in too_early.stderr
    assert given.stdout == "The role of dave is admin.\n"
    assert taken.stdout == "The role of carol is user.\n"


def test_a_reset_token_is_all_that_is_printed_and_sets_a_password(
    typed: Type, sqlite_url: str
) -> None:
    add(typed, "carol")

    issued = typed("user", "reset", "carol")

    reset_token = issued.stdout.strip()
    assert is_well_formed(reset_token)
    assert "POST /password-reset/" in issued.stderr
    assert f"  http://127.0.0.1:8000/reset#{reset_token}\n" in issued.stderr
    wanted = digest(reset_token)
    in_storage(sqlite_url, lambda storage: storage.check_password_reset(wanted))


def test_the_page_to_reset_a_password_is_that_of_a_server_on_all_addresses(
    typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(typed, "carol")
    monkeypatch.setenv("LLAMAKEEP_HOST", "::")

    issued = typed("user", "reset", "carol")

    assert "  http://[::1]:8000/reset#" in issued.stderr


def test_a_user_is_deleted_with_everything_after_a_question(
    typed: Type, sqlite_url: str
) -> None:
    add(typed, "carol")

    declined = typed("user", "delete", "carol", stdin="n\n")
    kept = typed("user", "list").stdout
    deleted = typed("user", "delete", "carol", "--yes")

    assert declined.exit_code == 1
    assert kept.startswith("carol\t")
    assert deleted.stdout == "The user carol is deleted.\n"
    assert typed("user", "list").stdout == ""
    events = in_storage(sqlite_url, lambda storage: storage.audit())
    assert [event.kind for event in events] == [
        "user.purged",
        "user.deleted",
        "user.created",
    ]
    assert {event.address for event in events[1:]} == {"command line"}


def test_runs_of_a_user_can_be_kept_for_some_days_only(typed: Type) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="long enough\n")

    changed = typed("user", "retention", "Carol", "30")
    given_back = typed("user", "retention", "carol", "default")

    assert changed.stdout == "Runs of Carol are kept 30 days.\n"
    assert given_back.stdout == "Runs of carol are kept as long as the settings say.\n"


@pytest.mark.parametrize("days", ["0", "x", "", "36501", "1.5"])
def test_days_that_are_none_keep_nothing(typed: Type, days: str) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="long enough\n")

    refused = typed("user", "retention", "carol", days)

    assert refused.exit_code == 2
    assert "from 1 to 36500" in refused.stderr


def test_nobodys_runs_are_kept_for_some_days(typed: Type) -> None:
    refused = typed("user", "retention", "nobody", "30")

    assert refused.exit_code == 1
    assert "no user 'nobody'" in refused.stderr


def test_texts_of_a_user_can_be_erased_at_the_end_of_their_runs(typed: Type) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="long enough\n")

    erased = typed("user", "keep", "carol", "no-texts")
    kept = typed("user", "keep", "carol", "texts")
    unknown = typed("user", "keep", "nobody", "texts")

    assert erased.stdout == "Texts of runs of carol are erased when these end.\n"
    assert kept.stdout == "Texts of runs of carol are kept.\n"
    assert unknown.exit_code == 1


def test_a_service_account_has_keys_and_no_password(typed: Type) -> None:
    added = typed("user", "add", "robot", "--service")
    key = typed("key", "add", "robot", "nightly")

    passwd = typed("user", "passwd", "robot", "--password-stdin", stdin="long enough\n")
    reset = typed("user", "reset", "robot")

    assert added.exit_code == 0, added.stderr
    assert is_well_formed(key.stdout.strip())
    assert typed("user", "list").stdout.endswith("\tservice account\n")
    for refused in (passwd, reset):
        assert refused.exit_code == 1
        assert "robot is a service account" in refused.stderr


def test_a_service_account_is_made_without_a_password(typed: Type) -> None:
    added = typed("user", "add", "robot", "--service", "--password-stdin", stdin="x\n")

    assert added.exit_code == 2
    assert typed("user", "list").stdout == ""
