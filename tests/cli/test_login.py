"""Logging the command line in at a server, by a code of its page."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llamakeep.settings import Settings
from tests.cli.conftest import Process, Type, said, started
from tests.cli.serving import Served, served
from tests.fakes import ScriptedProvider

ADDRESS = re.compile(r"(\S+)/terminal#([0-9a-f]{64})\.(\S+)")


async def address_in(process: Process) -> re.Match[str]:
    """Read what `llamakeep login` says until it asks for the code."""
    text = ""
    while "Code" not in text:
        text += await process.complaint()
    found = ADDRESS.search(text)
    assert found is not None, text
    assert f"{found[2][:4]}-{found[2][4:8]}".upper() in text
    return found


async def let_in(server: Served, found: re.Match[str], access_token: str) -> str:
    """Say yes on the page, and return its code."""
    async with httpx2.AsyncClient(base_url=server.url) as page:
        answer = await page.post(
            "/me/login-codes/",
            json={"challenge": found[2], "name": found[3]},
            headers={"Authorization": f"Bearer {access_token}"},
        )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


def kept(tmp_path: Path) -> Path:
    return tmp_path / "config" / "llamakeep" / "logins.json"


def look_at(file: Path) -> tuple[int, str]:
    return file.stat().st_mode & 0o777, file.read_text()


@pytest.mark.slow
async def test_a_login_is_kept_for_its_user_alone_until_the_logout(
    settings: Settings, tmp_path: Path
) -> None:
    async with served(settings, ScriptedProvider()) as server:
        access_token = await server.new_access_token("carol")
        async with started("login", server.url) as process:
            found = await address_in(process)
            code = await let_in(server, found, access_token)
            logged_in, _, _ = await process.ended(f"lkc_typo\n{code}\n".encode())
        asked = await said("ask", "Hi", "--server", server.url)
        mode, content = await asyncio.to_thread(look_at, kept(tmp_path))
        logged_out = await said("logout", server.url)
        refused = await said("ask", "Hi", "--server", f"{server.url}/")
        logins = await server.storage.list_logins(await server.user("carol"))

    assert found[1] == server.url
    assert logged_in == 0
    assert asked == (0, "Hello, world\n", "")
    assert mode == 0o600
    assert list(json.loads(content)) == [server.url]
    assert code not in content
    assert logged_out[0] == 0
    assert refused[0] == 2
    assert f"llamakeep login {server.url}" in refused[2]
    assert len(logins) == 1


@pytest.mark.slow
async def test_a_code_that_was_used_keeps_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    async with served(settings, ScriptedProvider()) as server:
        access_token = await server.new_access_token("carol")
        async with started("login", server.url) as process:
            other = ADDRESS.search(f"{server.url}/terminal#{'0' * 64}.thief")
            assert other is not None
            code = await let_in(server, other, access_token)
            exit_code, _, err = await process.ended(f"{code}\n".encode())
        is_there = await asyncio.to_thread(kept(tmp_path).exists)

    assert exit_code == 1
    assert "made for another program" in err
    assert not is_there


def keep(tmp_path: Path, logins: Any) -> None:
    kept(tmp_path).parent.mkdir(parents=True)
    kept(tmp_path).write_text(json.dumps(logins))


def test_a_login_that_is_over_is_told_so_without_asking_the_server(
    typed: Type, tmp_path: Path
) -> None:
    past = {"token": "lka_x", "expires_at": "2026-01-01T00:00:00Z"}
    keep(tmp_path, {"http://127.0.0.1:1": past})

    asked = typed("ask", "Hi", "--server", "127.0.0.1:1")

    assert asked.exit_code == 1
    assert "llamakeep login 127.0.0.1:1" in asked.stderr


def test_a_logout_without_a_login_or_a_server_says_what_is_left(
    typed: Type, tmp_path: Path
) -> None:
    soon = {"token": "lka_x", "expires_at": "2126-01-01T00:00:00Z"}
    keep(tmp_path, {"http://127.0.0.1:1": soon})

    there = typed("logout", "http://127.0.0.1:1")
    again = typed("logout", "http://127.0.0.1:1")

    assert (there.exit_code, again.exit_code) == (1, 1)
    assert "still valid there" in there.stderr
    assert "You have no login" in again.stderr
    assert json.loads(kept(tmp_path).read_text()) == {}


def test_a_file_of_logins_that_is_damaged_is_named(typed: Type, tmp_path: Path) -> None:
    keep(tmp_path, [1])

    asked = typed("ask", "Hi", "--server", "127.0.0.1:1")

    assert asked.exit_code == 1
    assert str(kept(tmp_path)) in asked.stderr


def test_without_a_code_nothing_is_kept(typed: Type, tmp_path: Path) -> None:
    denied = typed("login", "127.0.0.1:1", stdin="")

    assert denied.exit_code == 1
    assert not kept(tmp_path).exists()
