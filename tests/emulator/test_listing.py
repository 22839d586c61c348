from typing import Any

import pytest

from tests.emulator.driver import Driver


def ids(page: dict[str, Any]) -> list[str]:
    return [each["id"] for each in page["results"]]


def test_the_list_begins_with_the_newest(emulator: Driver) -> None:
    made = [emulator.create(f"prompt {number}")["id"] for number in range(3)]

    page = emulator.http.get("/v1/predictions").json()

    assert ids(page) == made[::-1]
    assert page["results"][0]["input"] == {"prompt": "prompt 2"}
    assert (page["next"], page["previous"]) == (None, None)


def test_pages_lead_forth_and_back_through_everything(emulator: Driver) -> None:
    made = [emulator.create()["id"] for _ in range(5)][::-1]
    emulator.set(page_size=2)

    first = emulator.http.get("/v1/predictions").json()
    second = emulator.http.get(first["next"]).json()
    third = emulator.http.get(second["next"]).json()
    back = emulator.http.get(third["previous"]).json()

    assert first["next"].startswith(f"{emulator.origin}/v1/predictions?cursor=")
    assert ids(first) + ids(second) + ids(third) == made
    assert third["next"] is None
    assert ids(back) == ids(second)
    assert emulator.http.get(back["previous"]).json()["results"] == first["results"]


@pytest.mark.slow
def test_a_page_has_a_hundred_predictions(emulator: Driver) -> None:
    for _ in range(101):
        emulator.create()

    page = emulator.http.get("/v1/predictions").json()

    assert len(page["results"]) == 100


def test_the_list_can_be_narrowed_by_time_on_all_its_pages(emulator: Driver) -> None:
    made = [emulator.create() for _ in range(5)]
    emulator.set(page_size=2)
    bounds = {
        "created_after": made[1]["created_at"],
        "created_before": made[4]["created_at"],
    }

    first = emulator.http.get("/v1/predictions", params=bounds).json()
    second = emulator.http.get(first["next"]).json()

    assert ids(first) + ids(second) == [made[3]["id"], made[2]["id"], made[1]["id"]]
    assert second["next"] is None


def test_the_list_can_lag_behind(emulator: Driver) -> None:
    emulator.set(list_lag=10)
    created = emulator.create()
    early = emulator.http.get("/v1/predictions").json()

    emulator.advance(10)

    assert ids(early) == []
    assert ids(emulator.http.get("/v1/predictions").json()) == [created["id"]]
    assert emulator.get(created)["id"] == created["id"]


def test_nothing_was_created_on_the_web(emulator: Driver) -> None:
    emulator.create()

    page = emulator.http.get("/v1/predictions", params={"source": "web"}).json()

    assert ids(page) == []


def test_erased_predictions_stay_in_the_list(emulator: Driver) -> None:
    emulator.finished()
    emulator.advance(3600)

    page = emulator.http.get("/v1/predictions").json()

    assert page["results"][0]["data_removed"] is True


def test_foreign_cursors_and_times_are_refused(emulator: Driver) -> None:
    answers = [
        emulator.http.get("/v1/predictions", params=query).status_code
        for query in ({"cursor": "!"}, {"created_after": "yesterday"})
    ]

    assert answers == [404, 400]
