"""What a history comes to, as clients see it."""

import pytest

from tests.api.serving import BOB, Client


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
    three = await client.get("/history/stats?by=model&by=day&by=status")

    day = run["created_at"][:10]
    assert [each["groups"] for each in found["stats"]] == [
        {"model": "scripted:parrot", "day": day}
    ]
    assert (found["stats"][0]["group"], found["has_more"]) == ("scripted:parrot", False)
    assert [each["groups"] for each in same["stats"]] == [{"model": "scripted:parrot"}]
    assert [each["field"] for each in three.json()["errors"]] == ["query.by"]
