import asyncio

from sqlalchemy import Connection, text

from llamakeep.domain import User
from llamakeep.storage import Storage
from llamakeep.storage.database.port import Operation
from tests.storage.running import start


def touching(*run_ids: str) -> Operation[None]:
    """Change those runs in that order, and leave others the time to collide."""

    def operation(connection: Connection) -> None:
        for run_id in run_ids:
            connection.execute(
                text("UPDATE runs SET model = model || 'x' WHERE id = :run_id"),
                {"run_id": run_id},
            )
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_sleep(0.2)"))

    return operation


async def test_two_writers_who_wait_for_each_other_both_get_done(
    storage: Storage, alice: User
) -> None:
    one, other = await start(storage, alice), await start(storage, alice)
    write = storage._database.write

    await asyncio.gather(
        write(touching(one.id, other.id)), write(touching(other.id, one.id))
    )

    for run in (one, other):
        assert (await storage.get_run(alice, run.id)).model == f"{run.model}xx"
