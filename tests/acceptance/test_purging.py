"""Deleting a user with a long history, while others ask, and through `kill -9`."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx2

from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import Actor, AuditKind, User, UserRole
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.history.conversations import HIGHEST
from llamakeep.storage.history.filters import EVERYTHING
from tests.acceptance.conftest import NewServer
from tests.waiting import LONG_ENOUGH

RUNS = 600
WORD = "kanarienvogelgesang"


async def has_word(folder: Path) -> bool:
    def look() -> bool:
        files = folder.glob("acceptance.db*")
        return any(WORD.encode() in file.read_bytes() for file in files)

    return await asyncio.to_thread(look)


async def prepare(storage: Storage) -> tuple[User, dict[str, str]]:
    """Keep a long history of carol's, and return her and an administrator's headers."""
    carol = await storage.add_user("carol", None)
    await asyncio.gather(
        *(storage.add(carol, f"{n} {WORD}", f"{WORD} {n}" * 20) for n in range(RUNS))
    )
    while await storage.index_finished():
        pass
    admin = await storage.add_user("admin", "a hash", role=UserRole.ADMIN)
    access_token = new_access_token()
    await storage.add_access_token(
        admin, digest(access_token), lifetime=timedelta(hours=1), actor=Actor()
    )
    return carol, {"Authorization": f"Bearer {access_token}"}


async def test_a_long_history_goes_with_its_user_while_others_ask_and_after_a_kill(
    new_server: NewServer, tmp_path: Path
) -> None:
    server = new_server()
    url = server.order.settings["database_url"]
    async with open_storage(url) as storage:
        carol, as_admin = await prepare(storage)
    await server.start()

    async with open_storage(url, is_owner=False) as storage:

        async def left() -> int:
            return await storage.count_runs(carol, EVERYTHING, before=HIGHEST)

        async def delete() -> None:
            # It is killed before it answers.
            with suppress(httpx2.TransportError):
                await server.client.delete(f"/admin/users/{carol.id}", headers=as_admin)

        deleting = asyncio.create_task(delete())
        answers = []
        async with asyncio.timeout(LONG_ENOUGH):
            while await left() > RUNS - 100:
                asked = await server.client.post("/prompt/", json={"prompt": "Hi"})
                answers.append(asked.status_code)

        await server.restart()

        between = await left()
        async with asyncio.timeout(LONG_ENOUGH):
            while not await storage.is_purged(carol):
                asked = await server.client.post("/prompt/", json={"prompt": "Hi"})
                answers.append(asked.status_code)
        await deleting
        gone = await server.client.get(f"/admin/users/{carol.id}", headers=as_admin)
        events = await storage.audit()

    assert 0 < between < RUNS
    assert await left_of(url, carol) == 0
    assert set(answers) == {200}
    assert gone.status_code == 404
    assert [event.kind for event in events if event.username == "carol"] == [
        AuditKind.USER_PURGED,
        AuditKind.USER_DELETED,
    ]
    assert len(await server.history()) == len(answers)
    await server.stop()
    async with open_storage(url):
        pass
    assert not await has_word(tmp_path)


async def left_of(url: str, user: User) -> int:
    async with open_storage(url, is_owner=False) as storage:
        return await storage.count_runs(user, EVERYTHING, before=HIGHEST)
