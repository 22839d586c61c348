"""Words that nobody else has, sent through every door, and looked for everywhere."""

import asyncio
import io
import json
import logging
import secrets
import string
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, make_url
from sqlalchemy.engine import URL

from llamakeep.credentials.tokens import new_access_token, new_reset_token
from llamakeep.domain import UserRole
from llamakeep.errors import ProviderError
from llamakeep.logs.formats import LineFormatter
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.settings import Settings
from llamakeep.storage.database import sqlite
from tests.api.doors import CALLS, Things, request_of, scopes_of
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider
from tests.providers.stub_server import END, event, head, piece, running_stub
from tests.waiting import LONG_ENOUGH


def canary() -> str:
    """Return a word that is nowhere, in the form in which an index keeps it."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(24))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged but by the tests' own client, as it is written."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(LineFormatter())
    handler.addFilter(lambda record: not record.name.startswith("http"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(before)


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider()


@pytest.fixture
async def server(
    settings: Settings, provider: ScriptedProvider
) -> AsyncIterator[Client]:
    async with serving(settings, provider) as client:
        yield client


@asynccontextmanager
async def serving(
    settings: Settings, provider: ScriptedProvider
) -> AsyncIterator[Client]:
    """A server that lets nobody in without a login."""
    real = settings.model_copy(update={"demo": False})
    async with connect(real, provider, raise_bugs=False) as client:
        del client.headers["authorization"]
        yield client


def bodies(body: str, word: str) -> Iterator[bytes]:
    """Return a body with the word in it, as it should be and as it should not."""
    said = body.replace('"Hi"', json.dumps(word))
    yield said.encode()
    yield said[:-1].encode()  # not JSON
    yield body.replace('"Hi"', json.dumps([word])).encode()
    yield body.replace('"Hi"', json.dumps(f"{word}\0")).encode()
    yield body.replace('"Hi"', json.dumps(f"{word}\ud800")).encode()
    yield said.replace("{", f'{{"{word}": 1, ', 1).encode()
    yield said.encode() + b"\xff"


PROMPTING = [
    route
    for route, call in CALLS.items()
    if call.body and "Hi" in call.body and scopes_of(route) == {"prompt"}
]


@pytest.mark.parametrize("route", PROMPTING)
async def test_no_prompt_answer_or_credential_is_in_the_log(
    server: Client,
    provider: ScriptedProvider,
    log: io.StringIO,
    route: str,
) -> None:
    asked, said, quoted = canary(), canary(), canary()
    login = await server.let_in("carol")
    things = Things.nobodys()
    provider.script = [said[:12], said[12:]]
    endings: list[Any] = [None, ProviderError(f"It does not like {quoted!r}.")]
    logged_in = f"Bearer {canary()}", login["Authorization"]

    for provider.refusal in endings:
        for authorization in logged_in:
            for content in bodies(CALLS[route].body or "", asked):
                request = request_of(route, things)
                request["content"] = content
                request["headers"]["Authorization"] = authorization
                request["params"] = {"q": asked}
                await server.request(**request)

    written = log.getvalue()
    for secret in (asked, said, quoted, *logged_in):
        assert secret.removeprefix("Bearer ") not in written


async def test_a_bug_is_in_the_log_without_what_was_asked_and_answered(
    server: Client, provider: ScriptedProvider, log: io.StringIO
) -> None:
    asked, said = canary(), canary()
    login = await server.let_in("carol")
    provider.script = [said, ZeroDivisionError("a bug")]

    await server.post("/prompt/", json={"prompt": asked}, headers=login)

    written = log.getvalue()
    assert "ZeroDivisionError: a bug" in written
    for secret in (asked, said, login["Authorization"].removeprefix("Bearer ")):
        assert secret not in written


async def test_no_password_or_secret_of_an_account_is_in_the_log(
    server: Client, log: io.StringIO
) -> None:
    admin = await server.storage.add_user("admin", None, role=UserRole.ADMIN)
    headers = await server.let_in(admin)
    old, new, wrong = canary(), canary(), canary()
    reset = new_reset_token()

    async def post(path: str, **body: str) -> Any:
        return await server.post(path, json=body, headers=headers)

    await post("/setup/", token=wrong, username="root", password=old)
    await post("/admin/users/", username="carol", password=old)
    await post("/admin/users/", username="carol", password=old)
    await post("/login/", username="carol", password=wrong)
    await post("/login/", username="carol", password=old, more=wrong)
    login = (await post("/login/", username="carol", password=old)).json()["token"]
    key = (await post("/keys/", name="robot")).json()["key"]
    await post("/password-reset/", token=reset, password=new)
    await post("/me/password", current_password=wrong, password=new)
    for secret in (login, key, new_access_token()):
        await server.get("/me/", headers={"Authorization": f"Bearer {secret}"})
        await server.get(f"/me/?token={secret}", headers={"X-API-Key": f"{secret}x"})

    written = log.getvalue()
    for secret in (old, new, wrong, reset, login, key):
        assert secret not in written


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
async def test_what_a_provider_says_and_its_key_are_not_in_the_log(
    settings: Settings, log: io.StringIO, status: int
) -> None:
    asked, said, key = canary(), canary(), canary()
    error = {"error": {"message": f"You said {asked}, I say {said}"}, said: asked}
    async with running_stub(head(status), event(error), piece(said.encode()), END) as (
        stub
    ):
        provider = OpenAIProvider(stub.base_url, api_key=key, models=("parrot",))
        async with connect(settings, provider) as client:
            answer = await client.post("/prompt/", json={"prompt": asked})

    assert answer.status_code >= 400
    assert stub.heard
    written = log.getvalue()
    assert answer.json()["run_id"] in written
    for secret in (asked, said, key):
        assert secret not in written


async def files(database: URL) -> bytes:
    """
    Return every byte of a database's files.

    Another process reads them: one that closes a file loses its locks on it.
    """
    command = f"cat '{database.database}'*"
    return await asyncio.to_thread(subprocess.check_output, command, shell=True)


async def rows(server: Client) -> bytes:
    """Return every row that is kept."""

    def dump(connection: Connection) -> bytes:
        tables = connection.exec_driver_sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).scalars()
        return b"".join(
            str(row).encode()
            for table in tables.all()
            for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"')
        )

    return await server.storage._database.read(dump)


WORDS = ["asked", "said", "told", "tag", "title", "key"]
WAYS = ["run", "completion", "conversation", "history", "user"]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_what_was_deleted_is_in_no_byte_that_is_kept(
    settings: Settings, database_url: str, way: str
) -> None:
    database = make_url(database_url)
    settings = settings.model_copy(update={"database_url": database_url})
    provider = ScriptedProvider()

    async def kept(server: Client) -> bytes:
        await server.storage.erase_traces()
        is_sqlite = database.get_backend_name() == "sqlite"
        return await (files(database) if is_sqlite else rows(server))

    words = {name: canary() for name in WORDS}
    provider.script = [words["said"][:12], words["said"][12:]]
    async with serving(settings, provider) as server:
        admin = await server.storage.add_user("admin", None, role=UserRole.ADMIN)
        carol = await server.storage.add_user("carol", None)
        login, theirs = await server.let_in(carol), await server.let_in(admin)
        answer = await server.post(
            "/prompt/",
            json={
                "prompt": words["asked"],
                "system_prompt": words["told"],
                "metadata": {"tag": words["tag"]},
            },
            headers=login | {"Idempotency-Key": words["key"]},
        )
        run = answer.json()
        conversation = f"/conversations/{run['conversation_id']}"
        await server.patch(conversation, json={"title": words["title"]}, headers=login)
        found = await server.get(f"/history/?q={words['said']}", headers=login)
        before = await kept(server)

        paths = {
            "run": f"/history/{run['id']}",
            "completion": f"/v1/chat/completions/chatcmpl-{run['id'][4:]}",
            "conversation": conversation,
            "history": "/history/?all=true",
            "user": f"/admin/users/{carol.id}",
        }
        headers = theirs if way == "user" else login
        deleted = await server.delete(paths[way], headers=headers)
        after = await kept(server)

    assert deleted.is_success
    assert len(found.json()["history"]) == 1
    for name, word in words.items():
        # An index leaves out what a word has in common with the one before.
        assert word[3:].encode() in before, name
        assert word[3:].encode() not in after, name


@pytest.mark.slow
async def test_it_is_erased_by_itself_as_well(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "ERASED_AFTER", 0.05)
    word = canary()
    database = make_url(settings.database_url)
    async with connect(settings, ScriptedProvider()) as client:
        answer = await client.post("/prompt/", json={"prompt": word})
        before = await files(database)
        await client.delete(f"/history/{answer.json()['id']}")

        async with asyncio.timeout(LONG_ENOUGH):
            while word.encode() in await files(database):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)

    assert word.encode() in before
