"""What PostgreSQL does in batches leaves the same rows as one transaction each."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from llamakeep.domain import (
    Notification,
    NotificationEvent,
    Parameters,
    Reasoning,
    Reservation,
    Run,
    RunStatus,
    Text,
    ToolCall,
    Usage,
    User,
    new_id,
)
from llamakeep.domain.messages import Message, message_of
from llamakeep.domain.quotas import Quota
from llamakeep.domain.runs import FOLLOWS_NOTHING
from llamakeep.errors import (
    IdempotencyKeyReused,
    ImageNotFound,
    QuotaExceeded,
    TooManyRuns,
    Unauthenticated,
)
from llamakeep.storage import Storage
from llamakeep.storage.database.postgres.database import PostgresDatabase
from llamakeep.storage.runs.lookups import IdempotencyKey
from tests.images import image, png
from tests.storage.running import NODE, delete_user, new_run

SHARED = "server:2026-11"
UPSTREAMS = ("upstream:other:2026-11", "upstream:scripted:2026-11")
WITHOUT_CLOCKS = (
    "SELECT id, (to_jsonb(runs) - 'lease_until' || jsonb_build_object("
    "'held', lease_until IS NOT NULL, 'words', search_words::text))::text FROM runs"
)
BESIDE = {
    "run_tags": "SELECT run_id, tag, user_id FROM run_tags",
    "run_images": "SELECT run_id, sha256, user_id FROM run_images",
    "quotas": "SELECT id, to_jsonb(quotas)::text FROM quotas",
    "notifications": (
        "SELECT run_id, (to_jsonb(notifications) - 'next_try_at')::text "
        "FROM notifications"
    ),
}


@pytest.fixture
def database_url(clean_postgres_url: str) -> str:
    return clean_postgres_url


@dataclass(frozen=True, kw_only=True)
class Life:
    """A run, how it is accepted, and how it ends."""

    run: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    limits: Sequence[tuple[str, str, Any]] = ()
    """Id, unit and number."""
    handle: str | None = None
    attempts_late: int = 0
    """By how many the attempt that ends it is behind."""


def reserved(*ids: str, cost: str = "0") -> Reservation:
    return Reservation(
        quotas=tuple(sorted(ids)),
        input_tokens=4,
        output_tokens=6,
        cost=Decimal(cost),
    )


QUEUED = {"status": RunStatus.QUEUED, "attempt": 0, "started_at": None}
TEXTS = "é \u2028 \\ ' \" 😀 \x01 $1 %s {x} --", "line\r\nline\ttab"
ORDINARY: Mapping[str, Life] = {
    "plain": Life(),
    "queued first": Life(run=QUEUED),
    "with a key": Life(key="key"),
    "with a key in other letters": Life(key="ключ \\ ' \"" + "k" * 200),
    "of an API key": Life(run={"api_key_id": "key_1", "source": "prompt"}),
    "for an end user": Life(run={"end_user": "someone 😀"}),
    "with one pair": Life(run={"metadata": {"team": "blue"}}),
    "with many pairs": Life(
        run={"metadata": {f"{n}" * 3: "v" * 512 for n in range(9)}}, key="pairs"
    ),
    "with pairs that make the same tag": Life(
        run={"metadata": {"a": "b:c", "a:b": "c", "": "", "é\\'": '{"x"} , NULL'}}
    ),
    "with odd texts": Life(
        run={"prompt": TEXTS[0], "system_prompt": TEXTS[1]},
        end={"response": TEXTS[0], "error_detail": TEXTS[1]},
    ),
    "long": Life(run={"prompt": "why " * 50_000}, end={"response": "so " * 50_000}),
    "with messages": Life(
        run={
            "prior_messages": (Message("user", "What?", "Ada"),),
            "last_message": message_of("user", [Text("Why?"), Text("Now!")]),
        },
        end={"output": (Reasoning("Hm."), Text("So."), ToolCall("c1", "f", "{}"))},
    ),
    "in a conversation": Life(
        run={"conversation_id": "conv_1", "previous_run_id": FOLLOWS_NOTHING}
    ),
    "with parameters": Life(
        run={
            "parameters": Parameters(
                max_tokens=7,
                temperature=0.1,
                stop=("a", "\n"),
                tools=({"type": "function", "function": {"name": "f"}},),
                route={"alias": "best", "left": [["scripted", "parrot"]]},
            )
        }
    ),
    "with an attached answer": Life(handle="answer_1"),
    "that took much": Life(
        end={
            "usage": Usage(2**31 - 1, 0, Decimal("1234567.000000001"), 3, 4),
            "resolved_model": "parrot-1",
            "finish_reason": "stop",
            "first_word_after": 2**40,
            "common_length": 3,
        }
    ),
    "that failed": Life(
        end={
            "status": RunStatus.FAILED,
            "error_code": "provider-unavailable",
            "error_detail": "It is away.",
        }
    ),
    "that was canceled": Life(end={"status": RunStatus.CANCELED}),
    "that expired": Life(end={"status": RunStatus.EXPIRED}),
    "that was interrupted": Life(end={"status": RunStatus.INTERRUPTED}),
    "within a limit": Life(
        run={"reservation": reserved("a")}, limits=[("a", "runs", 1000)]
    ),
    "within several limits": Life(
        run={"reservation": reserved("a", SHARED, cost="0.0000000014")},
        limits=[
            (SHARED, "dollars", Decimal("12.3456789012")),
            ("a", "runs", 1000),
            ("a", "tokens", 2**70),
            (SHARED, "tokens", 10**6),
        ],
        end={"usage": Usage(1, 2, Decimal("0.000000003"))},
        key="limited",
    ),
    "within limits of two upstreams": Life(
        run={"reservation": reserved(*UPSTREAMS, cost="1")},
        limits=[(id_, "tokens", 10**6) for id_ in UPSTREAMS],
        end={"usage": Usage(1, 2, Decimal("0.5"))},
    ),
    "within a limit, with tags, and failed at once": Life(
        run={"reservation": reserved("b"), "metadata": {"x": "y"}, **QUEUED},
        limits=[("b", "tokens", 10**6)],
        end={"status": RunStatus.FAILED, "error_code": "model-not-found"},
    ),
}
"""What batches do."""

SEEN = image(png(of=1))
OTHERS: Mapping[str, Life] = {
    "with an image": Life(
        run={
            "images": (SEEN,),
            "last_message": message_of("user", [replace(SEEN, data=None)]),
        }
    ),
    "whose image is gone": Life(
        run={"images": (replace(image(png(of=2)), data=None),)},
    ),
    "with a webhook": Life(
        run={
            "notifications": (
                Notification(
                    id="msg_1",
                    event=NotificationEvent.END,
                    url="https://a.example/hook",
                    host="a.example",
                    form="run",
                ),
            )
        }
    ),
    "whose texts are not kept": Life(run={"store": False}, end={"response": "So."}),
    "whose end user is counted": Life(
        run={"end_user": "counted"}, limits=[("counted", "prompts", 5)]
    ),
    "whose end user has no prompts left": Life(
        run={"end_user": "counted"}, limits=[("counted", "prompts", 0)]
    ),
    "beyond a limit": Life(
        run={"reservation": reserved("full")}, limits=[("full", "runs", 0)]
    ),
    "beyond a limit in tokens": Life(
        run={"reservation": reserved("full")}, limits=[("full", "tokens", 9)]
    ),
    "the first of a limit": Life(
        run={"reservation": reserved("first")}, limits=[("first", "tokens", 99)]
    ),
    "sent again": Life(key="known"),
    "another under a known key": Life(key="known other"),
    "of a user who was deleted": Life(run={"user_id": "user_gone"}),
    "with the answer of another run": Life(handle="taken"),
    "that stores another run's handle at its end": Life(end={"handle": "taken"}),
    "of an earlier attempt": Life(attempts_late=1),
}
"""What takes a transaction of its own, or does not succeed."""


async def live(storage: Storage, user: User, run: Run, life: Life) -> object:
    """Lead a run through its life, and return what its process is told."""
    key, _, is_other = (life.key or "").partition(" ")
    quotas = [
        Quota(
            id=id_,
            name=f"{unit}_per_day",
            whose="user",
            unit=unit,  # type: ignore[arg-type]
            limit=limit,
            end_user=run.end_user,
            user_id=user.id if unit == "prompts" else None,
            begins_at=user.created_at,
            ends_at=user.created_at + timedelta(days=1),
        )
        for id_, unit, limit in life.limits
    ]
    try:
        told: list[object] = [
            await storage.accept(
                run,
                node=NODE,
                idempotency_key=IdempotencyKey(key, b"other" if is_other else b"same")
                if life.key
                else None,
                quotas=quotas,
            )
        ]
    except (
        IdempotencyKeyReused,
        ImageNotFound,
        QuotaExceeded,
        TooManyRuns,
        Unauthenticated,
    ) as refusal:
        return type(refusal)
    if run.status is RunStatus.QUEUED and life.end.get("error_code") is None:
        told.append(await storage.claim(run))
        run = replace(run, status=RunStatus.STARTING, attempt=1)
    if life.handle:
        told.append(await storage.attach(run, life.handle))
    late = replace(run, attempt=run.attempt - life.attempts_late)
    end = {"status": RunStatus.SUCCEEDED, "response": "So."} | dict(life.end)
    told.append(await storage.finish(replace(late, finished_at=run.created_at, **end)))
    return told


async def rows(administrator: asyncpg.Connection) -> Mapping[str, object]:
    """Return all rows, those of runs by their id."""
    found: dict[str, object] = dict(
        map(tuple, await administrator.fetch(WITHOUT_CLOCKS))
    )
    for table, query in BESIDE.items():
        found[table] = sorted(map(tuple, await administrator.fetch(query)))
    return found


@pytest.mark.parametrize("lives", [ORDINARY, OTHERS], ids=["ordinary", "others"])
async def test_batches_leave_the_same_rows_as_a_transaction_each(
    storage: Storage,
    database_url: str,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    lives: Mapping[str, Life],
) -> None:
    gone = await storage.add_user("gone", None)
    await delete_user(storage, gone)
    await storage.webhook_secrets(alice, fresh="whsec_c2VjcmV0")
    made = {
        name: new_run(alice, **{"prompt": name, **each.run})
        for name, each in lives.items()
    }
    for name, run in made.items():
        if run.user_id == "user_gone":
            made[name] = replace(run, user_id=gone.id)
    known = new_run(alice, "known", id=new_id("run_"))
    administrator = await asyncpg.connect(database_url)

    async def prepare() -> None:
        """Have what runs meet: counts of limits, a key and a handle that are known."""
        await administrator.execute(
            "DELETE FROM runs; DELETE FROM quotas; DELETE FROM images"
        )
        await administrator.executemany(
            "INSERT INTO quotas (id) VALUES ($1)",
            [(id_,) for id_ in ("a", "b", SHARED, *UPSTREAMS)],
        )
        key = IdempotencyKey("known", b"same")
        await storage.accept(known, node=NODE, idempotency_key=key)
        await storage.attach(known, "taken")

    async def lead(name: str) -> object:
        return await live(storage, alice, made[name], lives[name])

    await prepare()
    told = dict(zip(lives, await asyncio.gather(*map(lead, lives)), strict=True))
    in_batches = await rows(administrator)
    [*_, batches, fallbacks] = storage.commit_series()
    if lives is ORDINARY:
        assert fallbacks.rows == {}
        assert batches.rows["write",][-1] > 2 * len(lives)

    async def is_not_used(*_: object) -> None:
        """Have each statement take a transaction of its own."""

    monkeypatch.setattr(PostgresDatabase, "_pipelined", is_not_used)
    await prepare()
    for name in lives:
        assert await lead(name) == told[name], name
    alone = await rows(administrator)
    await administrator.close()

    names = {run.id: name for name, run in made.items()}
    for key in in_batches.keys() | alone.keys():
        assert in_batches.get(key) == alone.get(key), names.get(key, key)
