"""
Make a history of millions of runs up in PostgreSQL, by statements of its own.

Texts are drawn from some made before: lengths as of a lognormal distribution, words as
frequent as in language, and a tenth of the texts in Chinese characters. The words that
are indexed are those that servers would have indexed.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from bench.filling import BEGIN, DAYS, MODELS, PROJECTS, VOCABULARY
from llamakeep.domain import new_id

TEXTS = 100_000
CHINESE = 0.1
SIGNS = 400
"""Chinese characters; a word has two."""
CLASSES = ((100_000, 0.4), (10_000, 0.4), (1_000, 0.195), (5, 0.005))
"""Runs that a user has, on average, and the share of all runs that such users have."""
AT_ONCE = 250_000
"""Runs of one statement."""
LANES = 2
"""Statements at a time."""

_LOADING = (
    "SET session_replication_role = replica",  # no triggers, and no foreign keys
    "SET synchronous_commit = off",
    "SET maintenance_work_mem = '2GB'",
    "SET statement_timeout = 0",
    # Nested loops keep the order, which is that of time.
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
)
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_FORGET = "DROP TABLE IF EXISTS made_texts, made_users"


@dataclass(frozen=True, slots=True)
class People:
    """Users of about the same size."""

    size: int
    first: int
    number: int
    begin: int
    """The first of the places among all runs that are theirs."""


def people(runs: int) -> Sequence[People]:
    """Return how many users of which sizes have so many runs."""
    found: list[People] = []
    first = begin = 0
    for size, share in CLASSES:
        number = max(1, round(runs * share / size))
        found.append(People(size, first, number, begin))
        first, begin = first + number, begin + number * size
    return found


def _moment(milliseconds: str) -> str:
    """Return the SQL for the ten characters that ids have of a time."""
    signs = [
        f"substr('{_DIGITS}', (({milliseconds} >> {shift}) & 31)::int + 1, 1)"
        for shift in range(45, -1, -5)
    ]
    return " || ".join(signs)


_WORD = f"""
    CASE WHEN is_chinese
    THEN chr(19968 + floor(power({SIGNS}.0, random()))::int)
        || chr(19968 + floor(power({SIGNS}.0, random()))::int)
    ELSE 'w' || floor(power({VOCABULARY}.0, random()))::int END
"""


def _text(name: str, length: str, offset: str) -> str:
    return f"""
        LATERAL (
            SELECT string_agg(word, mark ORDER BY place) AS said,
            string_agg(
                '''' || word || ''':' || least(place + {offset}, 16383), ' '
            ) AS words
            FROM (
                SELECT place, {_WORD} AS word FROM generate_series(1, {length}) AS place
            ) AS drawn
        ) AS {name}
    """


_TEXTS = f"""
    CREATE UNLOGGED TABLE made_texts AS
    SELECT number, prompt.said AS prompt, response.said AS response,
    (prompt.words || ' ' || response.words)::tsvector AS words
    FROM (
        SELECT number, is_chinese, CASE WHEN is_chinese THEN '、' ELSE ' ' END AS mark,
        least(1 + exp(random_normal(2.5, 0.9))::int, 500) AS prompt_length,
        least(1 + exp(random_normal(3.7, 0.8))::int, 2000) AS response_length
        FROM (
            SELECT number, random() < {CHINESE} AS is_chinese
            FROM generate_series(0, {TEXTS - 1}) AS number
        ) AS numbers
    ) AS lengths,
    {_text("prompt", "prompt_length", "0")},
    {_text("response", "response_length", "prompt_length + 1")}
"""


def _runs(runs: int) -> str:
    """Return the statement that makes those from `$1` up to `$2`."""
    began = round(BEGIN.timestamp() * 1000)
    step = DAYS * 24 * 60 * 60 * 1000 / runs
    classes = people(runs)
    places = classes[-1].begin + classes[-1].size * classes[-1].number
    whose = " ".join(
        f"WHEN place >= {each.begin} THEN {each.first} "
        f"+ (place - {each.begin}) / {each.size}"
        for each in reversed(classes)
    )
    thirds = " ".join(
        f"WHEN place >= {each.begin} THEN {runs * 3 // each.size}"
        for each in reversed(classes)
    )
    at = "to_timestamp(milliseconds / 1000.0)"
    return f"""
        WITH drawn AS (
            SELECT number, {began} + (number * {step})::bigint AS milliseconds,
            floor(random() * {places})::bigint AS place,
            floor(random() * {TEXTS})::int AS text, random() AS model,
            random() AS key, random() AS failure, random() AS project,
            random_normal(0.5, 0.8) AS duration
            FROM generate_series($1::bigint, $2::bigint - 1) AS number
        ), owned AS (
            SELECT *, CASE {whose} END AS whose, CASE {thirds} END AS conversation
            FROM drawn
        ), timed AS (
            SELECT *, CASE WHEN project < 0.05
            THEN 'p' || floor(project * 20 * {PROJECTS})::int END AS tag,
            {began} + (number / conversation * conversation * {step})::bigint AS since
            FROM owned
        ), made AS (
            INSERT INTO runs (
                id, user_id, api_key_id, source, status, prompt, response,
                conversation_id, parameters, metadata, provider, model, input_tokens,
                output_tokens, cost, created_at, started_at, finished_at,
                first_word_after, attempt, search_words
            )
            SELECT 'run_' || {_moment("milliseconds")} || substr(md5(timed.number::text), 1, 16),
            made_users.id,
            CASE WHEN key < 0.33 THEN 'key_1' WHEN key < 0.66 THEN 'key_2' END,
            'prompt', CASE WHEN failure < 0.01 THEN 'failed' ELSE 'succeeded' END,
            made_texts.prompt, made_texts.response,
            'conv_' || {_moment("since")}
            || substr(md5(whose || ' ' || timed.number / conversation), 1, 16),
            '{{}}', CASE WHEN tag IS NULL THEN '{{}}'
            ELSE json_build_object('project', tag) END,
            'bench', CASE WHEN model < 0.7 THEN '{MODELS[0]}'
            WHEN model < 0.99 THEN '{MODELS[1]}' ELSE '{MODELS[2]}' END,
            20, 150, 1500000, {at}, {at}, {at} + exp(duration) * interval '1 second',
            400000, 1, made_users.word || made_texts.words
            FROM timed JOIN made_texts ON made_texts.number = text
            JOIN made_users ON made_users.number = whose
            RETURNING id, user_id, metadata ->> 'project' AS tag
        )
        INSERT INTO run_tags (user_id, tag, run_id)
        SELECT user_id, each, id FROM made,
        LATERAL (VALUES ('project'), ('project:' || tag)) AS tags (each)
        WHERE tag IS NOT NULL
    """  # noqa: E501 - only numbers and names of ours


async def generate(url: str, runs: int) -> None:
    """Fill an empty database, and print what takes how long."""
    lanes = [await asyncpg.connect(url) for _ in range(LANES)]
    for lane in lanes:
        for setting in _LOADING:
            await lane.execute(setting)
    first = lanes[0]
    began = time.monotonic()
    await first.execute(_FORGET)
    await first.execute(_TEXTS)
    await _add_users(first, runs)
    _say("texts and users", began)
    later = await first.fetch(
        "SELECT indexname AS name, indexdef AS definition FROM pg_indexes "
        "WHERE tablename = 'runs' AND indexname <> 'runs_pk' "
        "ORDER BY indexname = 'search_by_words' DESC"
    )
    for each in later:
        await first.execute(f"DROP INDEX {each['name']}")
    portions = list(range(0, runs, AT_ONCE))
    statement = _runs(runs)

    async def fill(lane: asyncpg.Connection) -> None:
        while portions:
            at = portions.pop(0)
            await lane.execute(statement, at, min(at + AT_ONCE, runs))

    await asyncio.gather(*map(fill, lanes))
    _say("runs", began)

    async def index(lane: asyncpg.Connection) -> None:
        while later:
            each = later.pop(0)
            await lane.execute(each["definition"])
            _say(each["name"], began)

    await asyncio.gather(*map(index, lanes))
    await first.execute(_FORGET)
    await first.execute("VACUUM (ANALYZE)")
    _say("vacuum", began)
    for lane in lanes:
        await lane.close()


async def _add_users(connection: asyncpg.Connection, runs: int) -> None:
    rows = [
        (each.first + at, new_id("user_", at=BEGIN), each.size)
        for each in people(runs)
        for at in range(each.number)
    ]
    await connection.execute(
        "CREATE UNLOGGED TABLE made_users (number bigint, id text, word tsvector)"
    )
    await connection.executemany(
        "INSERT INTO made_users VALUES ($1, $2, array_to_tsvector(ARRAY[$2]))",
        [row[:2] for row in rows],
    )
    await connection.executemany(
        "INSERT INTO users (id, username, username_key, created_at) "
        "VALUES ($1, $2, $2, $3)",
        [(id_, f"of_{size}_{number}", BEGIN) for number, id_, size in rows],
    )
    for table in ("made_texts", "made_users"):
        await connection.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (number)")
    await connection.execute("ANALYZE made_texts, made_users")


def _say(what: str, began: float) -> None:
    print(f"{what}: after {time.monotonic() - began:.0f} s", flush=True)
