"""Many users from one file, all or none."""

import asyncio
import csv
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import pytest

from llamakeep.cli.importing_users import add_users
from llamakeep.cli.users_file import read_users
from llamakeep.credentials.tokens import digest
from llamakeep.domain import Actor, AuditKind, Limits, User, utc_now
from llamakeep.errors import InvalidRequest, ResetRefused
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.accounts.bulk import NewUser
from tests.cli.conftest import Type

GOOD = """\
name,role,tokens_per_day,dollars_per_month,retention_days,keep_texts
carol,admin,,,,
dave,user,1000,2.5,30,no

erin,,,,,
"""
OPERATOR = Actor(address="command line", user_agent="root")


async def users_in(settings: Settings) -> Mapping[str, User]:
    async with open_storage(settings.database_url) as storage:
        return {user.username: user for user in await storage.list_users()}


def names(settings: Settings) -> list[str]:
    return [*asyncio.run(users_in(settings))]


def test_a_file_makes_users_and_prints_a_link_for_each(
    typed: Type, settings: Settings
) -> None:
    done = typed("user", "import", "-", stdin=GOOD)

    assert done.exit_code == 0, done.stderr
    printed = {
        row["name"]: row["link"] for row in csv.DictReader(done.stdout.splitlines())
    }
    assert [*printed] == ["carol", "dave", "erin"]
    assert all("http://127.0.0.1:8000/reset#lkr_" in link for link in printed.values())
    found = asyncio.run(users_in(settings))
    assert {name: user.role.value for name, user in found.items()} == {
        "carol": "admin",
        "dave": "user",
        "erin": "user",
    }
    assert found["dave"].limits == Limits(
        tokens_per_day=1000, dollars_per_month=Decimal("2.5")
    )
    assert (found["dave"].keeps, found["erin"].keeps) == (False, True)
    assert found["erin"].limits is None


def test_columns_that_a_spreadsheet_left_empty_are_none() -> None:
    first, second = read_users(b"\xef\xbb\xbfname;role;;\r\ncarol;admin;;\r\ndave\r\n")

    assert (first.username, first.role.value) == ("carol", "admin")
    assert (second.username, second.role.value) == ("dave", "user")


def test_a_link_sets_a_password_once_and_is_over_when_it_was_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        links = dict(
            await add_users(
                settings, read_users(GOOD.encode()), days=7, skips_existing=False
            )
        )
        token, late = (links[name].partition("#")[2] for name in ("carol", "dave"))
        async with open_storage(settings.database_url) as storage:
            await storage.reset_password(digest(token), "a hash", actor=OPERATOR)
            with pytest.raises(ResetRefused):
                await storage.reset_password(digest(token), "a hash", actor=OPERATOR)
            for days, is_good in ((6.9, True), (7.1, False)):
                later = utc_now() + timedelta(days=days)
                monkeypatch.setattr(
                    "llamakeep.storage.accounts.administration.utc_now",
                    lambda later=later: later,
                )
                try:
                    await storage.check_password_reset(digest(late))
                except ResetRefused:
                    assert not is_good
                else:
                    assert is_good

    asyncio.run(use())


def test_each_line_that_is_wrong_is_named_and_nothing_is_created(
    typed: Type, settings: Settings
) -> None:
    content = (
        "name;role;tokens_per_day;retention_days;keep_texts\n"
        "carol;user;10;;\n"
        "a b;;;;\n"
        "dave;root;;;\n"
        "erin;;many;0;perhaps\n"
        "Carol;;;;\n"
        "frank;;;;;;more\n"
    )

    done = typed("user", "import", "-", stdin=content)

    assert done.exit_code == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    for number, said in enumerate(
        (
            "line 3: name: A username has",
            "line 4: role: It is `user` or `admin`.",
            "line 5: keep_texts: It is `yes` or `no`.",
            "line 5: retention_days: ",
            "line 5: tokens_per_day: ",
            "line 6: name: It is in line 2 as well.",
            "line 7: It has more cells",
        )
    ):
        assert said in lines[number]
    assert lines[-1].endswith("Nothing was created.")
    assert names(settings) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "one is `name`"),
        ("role\nuser\n", "one is `name`"),
        ("name,password\ncarol,secret\n", "no column 'password'"),
        ("name,name\na,b\n", "each once"),
        ("name\n" + "\n".join(f"u{n}" for n in range(5001)), "more than 5000 users"),
        (b"name\ncarol\nd\xe4ve\n", "line 3: It is not UTF-8. In Excel,"),
        ('name\n"carol\n', "line 2: "),
    ],
    ids=["nothing", "no name", "a password", "twice", "too many", "latin-1", "a quote"],
)
def test_a_file_of_another_shape_is_refused(
    content: str | bytes, said: str, typed: Type, settings: Settings
) -> None:
    done = typed("user", "import", "-", stdin=content)

    assert done.exit_code == 1
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert names(settings) == []


def test_users_who_are_there_are_named_or_skipped_as_one_likes(
    typed: Type, settings: Settings
) -> None:
    typed("user", "import", "-", stdin="name,tokens_per_day\nDave,5\n")

    refused = typed("user", "import", "-", stdin=GOOD)
    before = names(settings)
    skipped = typed("user", "import", "-", "--skip-existing", stdin=GOOD)
    again = typed("user", "import", "-", "--skip-existing", stdin=GOOD)

    assert refused.exit_code == 1
    assert "line 3: dave: There is a user of that name already." in refused.stderr
    assert before == ["Dave"]
    assert skipped.exit_code == again.exit_code == 0
    assert "2 users are created, 1 were there already" in skipped.stderr
    assert again.stdout == "name,link\n"
    found = asyncio.run(users_in(settings))
    assert [*found] == ["carol", "Dave", "erin"]
    assert found["Dave"].limits == Limits(tokens_per_day=5)


async def test_users_at_once_are_created_and_audited_all_or_none(
    storage: Storage,
) -> None:
    await storage.add_user("erin", None)
    wanted = [
        NewUser(
            username=name, reset_digest=digest(name), limits=Limits(concurrent_runs=1)
        )
        for name in ("carol", "dave", "Erin")
    ]
    week = timedelta(days=7)

    with pytest.raises(InvalidRequest, match="Erin"):
        await storage.add_users(wanted, lifetime=week, actor=OPERATOR)
    before = [user.username for user in await storage.list_users()]
    created = await storage.add_users(
        wanted, lifetime=week, skips_existing=True, actor=OPERATOR
    )

    assert before == ["erin"]
    assert [user.username for user in created] == ["carol", "dave"]
    events = [(each.kind, each.username) for each in await storage.audit()]
    assert events[::-1] == [
        (kind, name)
        for name in ("carol", "dave")
        for kind in (
            AuditKind.USER_CREATED,
            AuditKind.LIMITS_CHANGED,
            AuditKind.RESET_ISSUED,
        )
    ]
    await storage.check_password_reset(digest("carol"))
