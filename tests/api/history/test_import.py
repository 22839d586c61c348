"""Sending back what was exported."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from pydantic import ByteSize

from llamakeep.domain import later_id, new_id, utc_now
from llamakeep.settings import Settings
from tests.api.serving import BOB, Client, connect
from tests.fakes import PromptingProvider, ScriptedProvider

JSONL = {"Content-Type": "application/x-ndjson"}


def lines(*runs: dict[str, Any]) -> bytes:
    written = [json.dumps(run).replace("Infinity", "1e999") for run in runs]
    return b"".join(line.encode() + b"\n" for line in written)


def old(**facts: Any) -> dict[str, Any]:
    """Return the least that a line may have, of 2025, changed by `facts`."""
    rest = "01jgfjjz00" + new_id("run_")[-16:]
    return {
        "id": f"run_{rest}",
        "conversation_id": f"conv_{rest}",
        "status": "succeeded",
        "model": "scripted:parrot",
        "prompt": "Why?",
        "response": "So.",
        "created_at": "2025-01-01T00:00:00Z",
        **facts,
    }


async def send(client: Client, content: Any, **headers: str) -> httpx2.Response:
    return await client.post(
        "/history/import", content=content, headers=JSONL | headers
    )


async def export(client: Client) -> bytes:
    return (await client.get("/history/export")).content


async def test_what_was_exported_and_deleted_comes_back_as_it_was(
    settings: Settings,
) -> None:
    provider = ScriptedProvider()
    async with connect(settings, provider) as client:
        first = await client.post(
            "/prompt/",
            json={
                "prompt": "What is\na 🦙?",
                "system_prompt": "Be brief.",
                "metadata": {"project": "one"},
                "stop": ["."],
                "temperature": 0.3,
                "seed": 7,
            },
        )
        conversation_id = first.json()["conversation_id"]
        await client.post(
            "/prompt/", json={"prompt": "And?", "conversation_id": conversation_id}
        )
        messages = [
            {"role": "user", "content": "Hi", "name": "alice"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Bye"},
        ]
        await client.post(
            "/v1/chat/completions",
            json={"model": "scripted:parrot", "messages": messages},
        )
        response = await client.post("/v1/responses", json={"input": "One"})
        await client.post(
            "/v1/responses",
            json={"input": "Two", "previous_response_id": response.json()["id"]},
        )
        provider.script = ["Half", RuntimeError("a bug")]
        await client.post("/prompt/", json={"prompt": "Fail"})
        before = await export(client)
        await client.delete("/history/?all=true")

        imported = await send(client, before)
        after = await export(client)
        again = await send(client, before)
        found = (await client.get("/history/?q=bye")).json()["history"]
        stats = (await client.get("/history/stats?by=model")).json()["stats"]

    assert before.count(b"\n") == 6
    assert imported.json() == {"imported": 6, "known": 0}
    assert after == before
    assert again.json() == {"imported": 0, "known": 6}
    assert [run["prompt"] for run in found] == ["Bye"]
    assert [(each["runs"], each["failed"]) for each in stats] == [(6, 1)]


async def test_that_tools_were_prompted_is_exported_and_comes_back(
    settings: Settings,
) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    asked = {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}
    async with connect(settings, PromptingProvider()) as client:
        answer = await client.post("/v1/chat/completions", json=asked)
        before = await export(client)
        await client.delete("/history/?all=true")
        await send(client, before)
        after = await export(client)

    assert answer.status_code == 200
    assert b'"prompted_tools":true' in before
    assert after == before


async def test_figures_that_no_column_can_have_are_left_out(client: Client) -> None:
    usage = {
        "input_tokens": 2**31,
        "output_tokens": 2**31 - 1,
        "cost_usd": None,
        "cached_tokens": 1,
        "reasoning_tokens": 2,
    }

    await send(client, lines(old(finish_reason="x" * 200, usage=usage)))

    [run] = await client.history()
    assert run["finish_reason"] == "x" * 64
    assert run["usage"] == usage | {"input_tokens": None}


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\r\n"])
async def test_a_file_may_begin_with_a_byte_order_mark_and_end_in_any_way(
    client: Client, end: bytes
) -> None:
    content = b"\xef\xbb\xbf" + lines(old(), old()).replace(b"\n", b"\r\n")

    response = await send(client, content.rstrip() + end)

    assert response.json() == {"imported": 2, "known": 0}


async def test_a_compressed_file_is_called_so(client: Client) -> None:
    response = await send(client, gzip.compress(lines(*[old() for _ in range(60)])))

    assert "gunzip" in response.json()["errors"][0]["message"]


async def test_an_export_of_one_user_is_a_copy_for_another(client: Client) -> None:
    await client.post("/prompt/", json={"prompt": "Mine"})
    exported = await export(client)
    mine = await client.history()

    at_first = await send(client, exported, **BOB)
    again = await send(client, exported, **BOB)

    [his] = await client.history(**BOB)
    assert at_first.json() == {"imported": 1, "known": 0}
    assert again.json() == {"imported": 0, "known": 1}
    assert his["prompt"] == "Mine"
    assert his["id"] != mine[0]["id"]
    assert await client.history() == mine


async def test_somebody_elses_id_is_answered_as_one_that_is_free(
    client: Client,
) -> None:
    await client.post("/prompt/", json={"prompt": "Mine"})
    exported = json.loads(await export(client))
    free = old()

    answers = [await send(client, lines(each), **BOB) for each in (exported, free)]

    assert answers[0].content == answers[1].content
    assert answers[0].status_code == answers[1].status_code == 200
    [his, _] = await client.history(**BOB)
    assert (await client.get(f"/history/{his['id']}")).status_code == 404


async def test_a_file_may_arrive_in_any_pieces(client: Client) -> None:
    content = b"\n" + lines(*(old(prompt="🦙" * n) for n in range(120))).replace(
        b"\n", b"\r\n"
    )

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 997):
            yield content[start : start + 997]
        yield b"\n" + lines(old()).rstrip()

    response = await send(client, pieces())

    assert response.json() == {"imported": 121, "known": 0}
    assert len(await client.history()) == 121


async def test_nothing_may_be_sent(client: Client) -> None:
    response = await send(client, b"")

    assert response.json() == {"imported": 0, "known": 0}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"status": "done"}, "status"),
    ({"prompt": None}, "prompt"),
    ({"prompt": "a\0b"}, "prompt"),
    ({"response": "a\0b"}, "response"),
    ({"response": 5}, "response"),
    ({"model": "parrot"}, "model"),
    ({"model": ":parrot"}, "model"),
    ({"model": "x" * 33 + ":parrot"}, "model"),
    ({"model": "x:" + "y" * 257}, "model"),
    ({"id": "run_1"}, "id"),
    ({"id": "RUN_01JGFJJZ000000000000000000"}, "id"),
    ({"id": "run_01jgfjjz00000000000000000i"}, "id"),
    ({"id": "run_7zzzzzzzzzzzzzzzzzzzzzzzzz"}, ""),
    ({"conversation_id": "mine"}, "conversation_id"),
    ({"conversation_id": None}, "conversation_id"),
    ({"created_at": "2025-01-02T00:00:00Z"}, ""),
    ({"created_at": "2025-01-01T00:00:00"}, "created_at"),
    ({"created_at": "9999-01-01T00:00:00Z"}, "created_at"),
    ({"created_at": "1969-01-01T00:00:00Z"}, "created_at"),
    ({"created_at": 1735689600}, "created_at"),
    ({"finished_at": "9999-01-01T00:00:00Z"}, "finished_at"),
    ({"usage": {"input_tokens": -1}}, "usage.input_tokens"),
    ({"usage": {"input_tokens": 2**53}}, "usage.input_tokens"),
    ({"usage": {"cost_usd": -1}}, "usage.cost_usd"),
    ({"usage": {"cost_usd": 1e300}}, "usage.cost_usd"),
    ({"usage": {"tokens": 1}}, "usage.tokens"),
    ({"error": {"type": "x" * 65, "detail": ""}}, "error.type"),
    ({"error": {"type": "x", "detail": "\0"}}, "error.detail"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
    ({"parameters": {"temperature": 6}}, "parameters.temperature"),
    ({"parameters": {"stop": "x"}}, "parameters.stop"),
    ({"parameters": {"user": "x"}}, "parameters.user"),
    (
        {"parameters": {"response_format": {"a": [{"\0": 1}]}}},
        "parameters.response_format",
    ),
    (
        {"parameters": {"response_format": {"a": [{"b": float("inf")}]}}},
        "parameters.response_format",
    ),
    ({"earlier": [{"role": "function", "content": ""}]}, "earlier.0.role"),
    ({"previous_run_id": "x"}, "previous_run_id"),
    ({"user_id": "user_1"}, "user_id"),
    ({"api_key_id": "key_1"}, "api_key_id"),
]


@pytest.mark.parametrize(("facts", "field"), WRONG)
async def test_a_line_that_is_wrong_is_named_and_its_neighbours_are_not_kept(
    client: Client, facts: dict[str, Any], field: str
) -> None:
    response = await send(client, lines(old(), old(**facts), old()))

    problem = response.json()
    assert response.status_code == 422
    assert problem["errors"][0]["field"] == f"line 2: {field}".rstrip(": ")
    assert "Nothing was imported" in problem["detail"]
    assert await client.history() == []


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"null",
        b'{"history": []}',
        b'"\xff"',
        b"\xff",
        b"[" * 10_000,
        json.dumps(old()).encode().replace(b"So.", b"\\ud800"),
        json.dumps(old()).encode().replace(b"So.", b"\xed\xa0\x80"),
        json.dumps(old()).encode()[:-1] + b', "x": NaN}',
        b'id,created_at\n"run_1","2025"\n',
    ],
)
async def test_what_is_no_line_of_an_export_is_refused(
    client: Client, content: bytes
) -> None:
    response = await send(client, content)

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"].startswith("line 1")
    assert await client.history() == []


async def test_an_import_that_fails_says_how_far_it_went(client: Client) -> None:
    runs = [old(prompt=str(n)) for n in range(120)]
    content = lines(*runs[:110], old(status="done"), *runs[110:])

    failed = await send(client, content)
    kept = await client.history()
    mended = await send(client, lines(*runs))

    problem = failed.json()
    assert failed.status_code == 422
    assert [each["field"] for each in problem["errors"]] == ["line 111: status"]
    assert "Lines 1 to 100 are imported" in problem["detail"]
    assert len(kept) == 100
    assert mended.json() == {"imported": 20, "known": 100}


async def test_a_file_may_be_larger_than_other_bodies_but_not_endless(
    settings: Settings,
) -> None:
    settings = settings.model_copy(
        update={"max_body_size": settings.max_body_size.__class__(1000)}
    )
    settings = settings.model_copy(
        update={"max_import_size": settings.max_import_size.__class__(50_000)}
    )
    allowed = lines(*(old() for _ in range(120)))

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield lines(*(old() for _ in range(10)))
            await asyncio.sleep(0)

    async with connect(settings, ScriptedProvider()) as client:
        accepted = await send(client, allowed)
        announced = await send(client, allowed + allowed)
        streamed = await send(client, endless())
        kept = len((await export(client)).splitlines())

    assert 1000 < len(allowed) < 50_000 < 2 * len(allowed)
    assert accepted.json()["imported"] == 120
    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert "Nothing was imported" in announced.json()["detail"]
    told = int(streamed.json()["detail"].partition("Lines 1 to ")[2].partition(" ")[0])
    assert kept == 120 + told > 120


async def test_a_line_that_does_not_end_is_refused(settings: Settings) -> None:
    settings = settings.model_copy(update={"max_body_size": ByteSize(100)})
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        yield lines(old())
        while True:
            yield b" " * 2**20
            sent += 1

    async with connect(settings, ScriptedProvider()) as client:
        response = await send(client, pieces())

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "line 2"
    assert 100 <= sent < 160


async def test_a_response_that_no_provider_may_return_is_refused(
    client: Client,
) -> None:
    response = await send(client, lines(old(response="x" * (16 * 1024**2 + 1))))

    assert response.status_code == 422
    assert "more than 16777216 characters" in response.text


@pytest.mark.slow
async def test_the_largest_run_is_exported_and_comes_back_as_it_was(
    settings: Settings,
) -> None:
    """Also where settings allow less than they did when it was asked."""
    settings = settings.model_copy(update={"max_body_size": ByteSize(10_000)})
    said = [{"role": "user", "content": "x" * 1024**2}] * 2
    run = old(response="\x01\u2028" * (8 * 1024**2), prompt="y" * 2**20, earlier=said)
    async with connect(settings, ScriptedProvider()) as client:
        first = await send(client, lines(run))
        exported = await export(client)
        await client.delete("/history/", params={"all": "true"})
        again = await send(client, exported)

        assert await export(client) == exported
    assert first.json() == again.json() == {"imported": 1, "known": 0}


async def test_a_run_that_was_going_on_comes_back_as_interrupted(
    client: Client,
) -> None:
    going_on = old(status="processing", response="So far")

    response = await send(client, lines(going_on, old(status="queued", response="")))
    exported = await export(client)
    await client.delete("/history/", params={"all": "true"})
    await send(client, exported)

    assert response.json() == {"imported": 2, "known": 0}
    runs = [json.loads(line) for line in exported.splitlines()]
    assert [run["status"] for run in runs] == ["interrupted"] * 2
    assert "going on when it was exported" in runs[0]["error"]["detail"]
    assert {run["response"] for run in runs} == {"So far", ""}
    assert await export(client) == exported


@pytest.mark.parametrize("hours", [2, 24 * 400])
async def test_what_a_clock_wrote_that_was_ahead_comes_back(
    client: Client, hours: float
) -> None:
    now = utc_now()
    ahead = now + timedelta(hours=hours)
    topic = new_id("conv_")
    first = old(
        id=new_id("run_", at=ahead), created_at=ahead.isoformat(), conversation_id=topic
    )
    # Asked in the same conversation, or the same process, with the right time again.
    second = old(
        id=later_id(new_id("run_"), str(first["id"])),
        created_at=now.isoformat(),
        started_at=ahead.isoformat(),
        finished_at=now.isoformat(),
        conversation_id=topic,
    )

    response = await send(client, lines(first, second))
    exported = await export(client)
    await client.delete("/history/", params={"all": "true"})
    await send(client, exported)

    assert response.json() == {"imported": 2, "known": 0}
    assert await export(client) == exported
    following = await client.post(
        "/prompt/", json={"prompt": "And?", "conversation_id": topic}
    )
    assert following.json()["id"] > second["id"]


async def test_one_file_with_long_lines_is_imported_at_a_time(client: Client) -> None:
    long = lines(old(response="x" * 9 * 1024**2))
    importers = client.services.readers
    alice = await client.alice()
    end = importers.begin_import(alice.id)

    refused = await send(client, long)
    short = await send(client, lines(old()))
    end()
    accepted = await send(client, long)

    assert (refused.status_code, short.status_code) == (429, 200)
    assert "Nothing was imported" in refused.json()["detail"]
    assert accepted.json()["imported"] == 1
    assert importers._importing == set()


@pytest.mark.slow
async def test_pages_of_large_runs_are_shorter_and_lead_to_the_rest(
    client: Client,
) -> None:
    runs = [old(response="x" * 4 * 1024**2) for _ in range(5)]
    await send(client, lines(*runs))

    first = (await client.get("/history/?limit=200")).json()
    cursor = first["next_cursor"]
    rest = (await client.get(f"/history/?limit=200&cursor={cursor}")).json()
    back = (await client.get(f"/history/?cursor={rest['previous_cursor']}")).json()
    exported = (await export(client)).splitlines()

    ids = sorted([run["id"] for run in runs], reverse=True)
    assert [run["id"] for run in first["history"]] == ids[:4]
    assert [run["id"] for run in rest["history"]] == ids[4:]
    assert rest["next_cursor"] is None
    assert [run["id"] for run in back["history"]] == ids[:4]
    assert [json.loads(line)["id"] for line in exported] == ids[::-1]


async def test_lines_are_counted_however_many_are_blank(client: Client) -> None:
    content = b"\n\r\n \t\n\n" + lines(old()) + b"\n" * 70_000 + b"  {}\n\n"

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(content), 1000):
            yield content[at : at + 1000]

    whole = await send(client, content)
    in_pieces = await send(client, pieces())

    for response in (whole, in_pieces):
        named = {each["field"] for each in response.json()["errors"]}
        assert {each.partition(":")[0] for each in named} == {"line 70006"}


async def test_blank_lines_take_no_time(client: Client) -> None:
    begun = time.thread_time()

    response = await send(client, b"\n" * 4 * 1024**2)

    assert response.json() == {"imported": 0, "known": 0}
    assert time.thread_time() - begun < 1
