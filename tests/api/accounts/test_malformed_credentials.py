"""Twenty thousand credentials that cannot be ours, and what they cost."""

import asyncio
import random
import string
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.pool import Pool

from llamakeep.credentials.tokens import (
    digest,
    is_well_formed,
    new_access_token,
    new_api_key,
)
from llamakeep.settings import Settings
from tests.api.serving import connect
from tests.fakes import ScriptedProvider

HOW_MANY = 20_000
SEED = 20_261_122
LETTERS = string.digits + string.ascii_letters
SPECIAL = ["' OR 1=1 --", "%s", "../../etc/passwd", "\x00", "null", "{}", "\xff", "\t"]

Headers = list[tuple[bytes, bytes]]
Say = Callable[[random.Random, str], str]


def _with_another_letter(chance: random.Random, known: str) -> str:
    at = chance.randrange(len(known))
    letter = chance.choice([one for one in LETTERS if one != known[at]])
    return known[:at] + letter + known[at + 1 :]


def _with_two_letters_swapped(chance: random.Random, known: str) -> str:
    at = chance.randrange(4, len(known) - 1)
    return known[:at] + known[at + 1] + known[at] + known[at + 2 :]


KINDS: dict[str, Say] = {
    "another letter": _with_another_letter,
    "two letters swapped": _with_two_letters_swapped,
    "cut": lambda chance, known: known[: chance.randrange(len(known))],
    "longer": lambda chance, known: known + chance.choice(LETTERS),
    "another prefix": lambda _, known: "lkx" + known[known.index("_") :],
    "in capitals": lambda _, known: known.upper(),
    "twice": lambda _, known: known + known,
    "something in it": lambda chance, known: known[:20] + chance.choice(SPECIAL),
    "something else": lambda chance, _: chance.choice(SPECIAL),
    "random letters": lambda chance, _: "lk_" + "".join(chance.choices(LETTERS, k=49)),
    "random bytes": lambda chance, _: chance.randbytes(40).decode("latin-1"),
    "a JWT": lambda chance, _: ".".join(
        "".join(chance.choices(LETTERS, k=40)) for _ in range(3)
    ),
    "a digest": lambda _, known: digest(known).hex(),
    "long": lambda chance, known: known * chance.randrange(2, 200),
}


def malformed(chance: random.Random, known: str) -> Headers:
    """Return headers with something that looks more or less like `known`, a secret."""
    said = known
    while is_well_formed(said.strip()):
        said = KINDS[chance.choice(list(KINDS))](chance, known)
    value = said.encode("latin-1")
    if chance.random() < 0.2:
        return [(b"x-api-key", value)]
    return [(b"authorization", chance.choice([b"Bearer ", b"bearer  "]) + value)]


async def status_of(app: FastAPI, headers: Headers) -> int:
    """Ask without an HTTP client, which would take longer than the answer."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/prompt/",
        "raw_path": b"/prompt/",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: dict[str, int]) -> None:
        if "status" in message:
            statuses.append(message["status"])

    await app(scope, receive, send)  # type: ignore[arg-type] # narrower than any message
    return statuses[0]


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """The SQL of all connections that are opened from now on, as the driver sees it."""
    seen: list[str] = []

    def trace(connection: object, _: object) -> None:
        connection.set_trace_callback(seen.append)  # type: ignore[attr-defined] # SQLite's

    event.listen(Pool, "connect", trace)
    yield seen
    event.remove(Pool, "connect", trace)


@pytest.fixture
async def app(settings: Settings, statements: list[str]) -> AsyncIterator[FastAPI]:
    del statements
    real = settings.model_copy(update={"demo": False})
    async with connect(real, ScriptedProvider()) as client:
        yield client.app


def about_credentials(statements: list[str]) -> list[str]:
    """Return those that did not come from the server's own housekeeping."""
    words = "access_tokens", "api_keys", "users"
    housekeeping = "retention_days", "purge_until", "max(users.created_at)"
    return [
        one
        for one in statements
        if any(word in one for word in words)
        and not any(word in one for word in housekeeping)
    ]


@pytest.mark.slow
async def test_what_cannot_be_ours_is_refused_without_asking_the_database(
    app: FastAPI, statements: list[str]
) -> None:
    chance = random.Random(SEED)
    statements.clear()

    answers: Counter[int] = Counter()
    for number in range(HOW_MANY):
        known = new_api_key() if number % 2 else new_access_token()
        answers[await status_of(app, malformed(chance, known))] += 1
        if number % 500 == 0:
            await asyncio.sleep(0)

    assert answers == {401: HOW_MANY}
    assert about_credentials(statements) == []


@pytest.mark.parametrize("make", [new_access_token, new_api_key])
async def test_one_that_could_be_ours_is_looked_for_once(
    app: FastAPI, statements: list[str], make: Callable[[], str]
) -> None:
    statements.clear()

    status = await status_of(
        app, [(b"authorization", b"Bearer " + make().encode("ascii"))]
    )

    assert status == 401
    assert len(about_credentials(statements)) == 1
