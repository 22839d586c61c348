"""What a history comes to, as clients see it."""

import csv
import io

import pytest

from tests.api.serving import BOB, PROMPT, Client


async def test_a_history_is_summed_up(client: Client) -> None:
    for prompt in ("a llama", "an alpaca"):
        await client.post("/prompt/", json={"prompt": prompt})
    await client.post("/prompt/", json={"prompt": "His"}, headers=BOB)

    query = "by=model&first_words=true"
    [found] = (await client.get(f"/history/stats?{query}")).json()["stats"]
    [quick] = (await client.get("/history/stats?by=model")).json()["stats"]
    times = [found.pop("first_word"), found.pop("latency")]

    assert found == {
        "group": "scripted:parrot",
        "groups": {"model": "scripted:parrot"},
        "runs": 2,
        "succeeded": 2,
        "failed": 0,
        "input_tokens": 14,
        "output_tokens": 6,
        "cost_usd": 0,
        "unpriced": 2,
    }
    for each in times:
        assert 0 <= each["p50"] <= each["p90"] <= each["p99"]
    assert set(quick.pop("first_word").values()) == {None}


@pytest.mark.parametrize(
    ("query", "groups"),
    [
        ("", 1),
        ("?by=api_key", 1),
        ("?by=tag", 1),
        ("?by=day&by=status", 1),
        ("?q=llama", 1),
        ("?q=vicuna", 0),
    ],
)
async def test_what_is_summed_up_can_be_chosen(
    client: Client, query: str, groups: int
) -> None:
    await client.post("/prompt/", json={"prompt": "a llama"})

    found = (await client.get(f"/history/stats{query}")).json()["stats"]

    assert [each["runs"] for each in found] == [1] * groups


async def test_a_history_is_summed_up_by_two_facts(client: Client) -> None:
    await client.post("/prompt/", json={"prompt": "a llama"})
    [run] = await client.history()

    found = (await client.get("/history/stats?by=model&by=day")).json()
    same = (await client.get("/history/stats?by=model&by=model")).json()
    six = await client.get(
        "/history/stats",
        params={"by": ["model", "day", "status", "source", "tag", "api_key"]},
    )

    day = run["created_at"][:10]
    assert [each["groups"] for each in found["stats"]] == [
        {"model": "scripted:parrot", "day": day}
    ]
    assert (found["stats"][0]["group"], found["has_more"]) == ("scripted:parrot", False)
    assert [each["groups"] for each in same["stats"]] == [{"model": "scripted:parrot"}]
    assert [each["field"] for each in six.json()["errors"]] == ["query.by"]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_a_history_is_summed_up_as_a_file_for_spreadsheets(
    client: Client,
) -> None:
    await client.post("/prompt/", json={"prompt": "secret"})
    by = {"by": ["day", "model", "end_user"]}

    asked = await client.get("/history/stats", params=by | {"format": "csv"})
    accepted = await client.get(
        "/history/stats", params=by, headers={"Accept": "text/csv;q=1, */*"}
    )

    [run] = await client.history()
    [row] = rows(asked.text)
    assert float(row.pop("latency_p99")) >= float(row.pop("latency_p50")) >= 0
    assert row == {
        "day": run["created_at"][:10],
        "model": "scripted:parrot",
        "end_user": "",
        "runs": "1",
        "succeeded": "1",
        "failed": "0",
        "input_tokens": "7",
        "output_tokens": "3",
        "cost_usd": "0.000000000",
        "unpriced": "1",
        "latency_p90": row["latency_p90"],
        "first_word_p50": "",
        "first_word_p90": "",
        "first_word_p99": "",
    }
    assert accepted.text == asked.text
    assert asked.headers["content-type"] == "text/csv; charset=utf-8"
    assert asked.headers["content-disposition"] == 'attachment; filename="usage.csv"'


@pytest.mark.parametrize("end_user", ["=1+1", "+1", "-1", "@SUM(A1)"])
async def test_no_cell_is_a_formula(client: Client, end_user: str) -> None:
    await client.post("/prompt/", json=PROMPT | {"end_user": end_user})

    found = await client.get("/history/stats?by=end_user&format=csv")

    assert [row["end_user"] for row in rows(found.text)] == [f"'{end_user}"]


async def test_a_file_that_would_be_cut_short_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.api.history.stats.MOST_ROWS", 1)
    for tag in ("a", "b"):
        body = PROMPT | {"metadata": {"project": tag}}
        await client.post("/prompt/", json=body)

    whole = await client.get("/history/stats?by=model&format=csv")
    cut = await client.get("/history/stats?by=tag&format=csv")

    assert len(rows(whole.text)) == 1
    assert [each["field"] for each in cut.json()["errors"]] == ["query.by"]
