"""PostgreSQL URLs as libpq reads them, and what is shown of them."""

import socket
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from llamakeep.errors import StorageUnavailable
from llamakeep.storage import location, open_storage
from llamakeep.storage.database.postgres.url import read_postgres_url

SECRET = "s3cret-pw"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            f"postgresql://lk:{SECRET}@db.example:5433/kept",
            "lk:***@db.example:5433/kept",
        ),
        (
            f"postgresql:///kept?host=/run/pg&user=lk&password={SECRET}",
            "lk:***@%2Frun%2Fpg/kept",
        ),
        (f"postgresql://lk@db/kept?sslpassword={SECRET}&sslmode=require", "lk@db/kept"),
        (f"postgresql://lk@db/kept?PASSWORD={SECRET}", None),
        ("postgresql://lk:s3cret%2Dpw@db/kept", "lk:***@db/kept"),
        (f"postgresql+asyncpg://lk:{SECRET}@[::1]:1/kept", "lk:***@[::1]:1/kept"),
        (f"postgres://lk:{SECRET}@a:1,b:2/kept", "lk:***@a:1,b:2/kept"),
        (f"postgresql://lk:x@{SECRET}@db/kept", "lk:***@db/kept"),
        # Not encoded, so that the password ends elsewhere.
        (f"postgresql://lk:x/{SECRET}@db/kept", None),
        (f"postgresql://lk:1/{SECRET}@db/kept", None),
        (f"postgresql://lk:1#{SECRET}@db/kept", None),
        (f"postgresql://lk:1?{SECRET}@db/kept", None),
        (f"postgresql://lk:1?secret={SECRET}@db/kept", None),
        (f"postgresql://lk:{SECRET}:5432/kept", None),
        (f"postgresql://db:{SECRET}/kept", None),
        (f"postgresql://lk:x@[{SECRET}/kept", None),
    ],
)
async def test_a_password_is_shown_nowhere(url: str, shown: str | None) -> None:
    if shown is not None:
        assert location(url) == f"postgresql://{shown}"
        assert SECRET not in repr(read_postgres_url(url))
        return
    for use in (location, read_postgres_url):
        with pytest.raises(StorageUnavailable, match="LLAMAKEEP_DATABASE_URL") as wrong:
            use(url)
        assert SECRET not in wrong.value.detail


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("sslmod=require", "'sslmod'.* Did you mean 'sslmode'"),
        ("sslmode=always", "sslmode is one of disable, allow,"),
        ("ssl=maybe", "sslmode is one of"),
        ("connect_timeout=soon", "connect_timeout is no number"),
        ("target_session_attrs=best", "target_session_attrs is one of any"),
        ("gssencmode=require", "gssencmode can only be disable, prefer"),
        ("hostaddr=10.0.0.1", "no parameter 'hostaddr'"),
        ("port=x", "host, port or parameters"),
        ("host=a,b&port=1,2,3", "another number of ports"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(said: str, message: str) -> None:
    with pytest.raises(StorageUnavailable, match=message):
        read_postgres_url(f"postgresql://db/kept?{said}")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "5432x", "\uff15"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(StorageUnavailable, match="a port from 1 to 65535"):
        read_postgres_url(f"postgresql://lk@db:{port}/kept")


def test_everything_that_managed_databases_hand_out_is_read() -> None:
    neon = read_postgres_url(
        "postgresql://me:pw@ep-x-pooler.eu.aws.neon.tech/neondb"
        "?sslmode=require&channel_binding=require"
    )
    supabase = read_postgres_url(
        "postgres://postgres.abc:pw@aws-0-eu.pooler.supabase.com:6543/postgres"
        "?pgbouncer=true"
    )
    several = read_postgres_url("postgresql://a:1,b/kept?connect_timeout=10")

    assert "sslmode=require" in neon.dsn
    assert supabase.is_pooled is True
    assert several.hosts == [("a", 1), ("b", None)]
    assert "target_session_attrs=read-write" in several.dsn
    assert several.numbers["connect_timeout"] == 10


async def test_the_words_of_libpq_work(clean_postgres_url: str, tmp_path: Path) -> None:
    options = "application_name=books&options=-c%20search_path%3Dpublic"
    words = (
        "sslmode=prefer&connect_timeout=5&keepalives=1&keepalives_idle=10"
        f"&keepalives_count=2&tcp_user_timeout=9000&gssencmode=disable&{options}"
        f"&passfile={tmp_path / 'none'}&client_encoding=utf8"
    )

    async with open_storage(f"{clean_postgres_url}?{words}") as storage:
        await storage.add_user("alice", None)
        administrator = await asyncpg.connect(clean_postgres_url)
        names = await administrator.fetch(
            "SELECT application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid != pg_backend_pid()"
        )
        await administrator.close()

    assert {row[0] for row in names} == {"books"}


async def test_the_next_host_is_asked_when_one_is_gone(
    clean_postgres_url: str, unused_port: int
) -> None:
    url = clean_postgres_url.replace("@", f"@127.0.0.1:{unused_port},")

    async with open_storage(url) as storage:
        await storage.ping()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: Any = probe.getsockname()[1]
    return int(port)
