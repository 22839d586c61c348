"""Make a history up that looks as if years of prompts had been answered, quickly."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate, islice

from sqlalchemy import Connection, insert

from llamakeep.domain import Run, RunStatus, Usage, User, new_id
from llamakeep.storage import Storage
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.indexing import INSERT_INDEXED
from llamakeep.storage.history.tags import add_tags
from llamakeep.storage.history.words import lexemes
from llamakeep.storage.runs.rows import to_row

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 200
VOCABULARY = 50_000
MODELS = ("big", "small", "rare")
PROJECTS = 20
BATCH = 5000

# A few are frequent and most are rare, as in language: 1/n of all are the n-th.
_WORDS = [
    f"w{int(VOCABULARY ** ((place + 0.5) / 1_000_000))}" for place in range(1_000_000)
]


def words(count: int) -> str:
    return " ".join(random.choices(_WORDS, k=count))


# An index is made in a fraction of the time in which it grows.
_BEFORE = {"postgresql": ["DROP INDEX search_by_words"]}
_AFTER = {
    "postgresql": [
        "SET LOCAL maintenance_work_mem = '1GB'",
        "CREATE INDEX search_by_words ON runs USING gin (search_words)",
        "ANALYZE",
    ]
}


async def fill(storage: Storage, count: int, users: int) -> Sequence[User]:
    """
    Keep `count` runs, as being accepted and finished would have left them.

    Args:
        storage: An empty one.
        count: How many runs.
        users: Whose. The first of several has a tenth of the runs, the others share.

    Returns:
        The users.
    """
    random.seed(1)
    # Nothing else has to write this many rows at once: there is no method for it.
    database = storage._database  # noqa: SLF001
    everybody = [await storage.add_user(f"user{n}", None) for n in range(users)]
    made = _runs(everybody, count)
    await database.write(partial(_run_all, statements=_BEFORE))
    while batch := list(islice(made, BATCH)):
        await database.write(partial(_insert, batch=batch))
    await database.write(partial(_run_all, statements=_AFTER))
    while await storage.index_finished():
        pass
    return everybody


def _run_all(connection: Connection, statements: dict[str, list[str]]) -> None:
    for statement in statements.get(connection.dialect.name, ()):
        connection.exec_driver_sql(statement)


def _insert(connection: Connection, batch: list[Run]) -> None:
    if connection.dialect.name == "postgresql":
        rows = [
            to_row(run) | {"words": lexemes(run.user_id, run.prompt, run.response)}
            for run in batch
        ]
        connection.execute(INSERT_INDEXED, rows)
    else:
        connection.execute(insert(runs), [to_row(run) for run in batch])
    add_tags(connection, batch)


def _runs(everybody: Sequence[User], count: int) -> Iterator[Run]:
    shares = [max(1, (len(everybody) - 1) / 9)] + [1] * (len(everybody) - 1)
    weights = list(accumulate(shares))
    conversations = {user.id: new_id("conv_", at=BEGIN) for user in everybody}
    step = timedelta(days=DAYS) / count
    for number in range(count):
        [user] = random.choices(everybody, cum_weights=weights)
        at = BEGIN + step * number
        if random.random() < 1 / 3:
            conversations[user.id] = new_id("conv_", at=at)
        yield some_run(user, at, conversations[user.id])


def some_run(user: User, at: datetime, conversation_id: str) -> Run:
    has_failed = random.random() < 0.01
    project = random.randrange(PROJECTS) if random.random() < 0.05 else None
    return Run(
        id=new_id("run_", at=at),
        user_id=user.id,
        api_key_id=random.choice(("key_1", "key_2", None)),
        status=RunStatus.FAILED if has_failed else RunStatus.SUCCEEDED,
        attempt=1,
        provider="bench",
        model=random.choices(MODELS, (70, 29, 1))[0],
        prompt=words(15),
        response=words(120),
        conversation_id=conversation_id,
        metadata={} if project is None else {"project": f"p{project}"},
        created_at=at,
        started_at=at,
        finished_at=at + timedelta(seconds=random.expovariate(1 / 3)),
        usage=Usage(20, 150),
    )
