import threading
from datetime import UTC, datetime, timedelta

from llamakeep.domain import (
    Parameters,
    RunStatus,
    new_id,
    utc_now,
)


def test_ids_sort_by_the_order_in_which_they_were_made() -> None:
    ids = [new_id("run_") for _ in range(10_000)]

    assert ids == sorted(set(ids))


def test_ids_of_simultaneous_threads_are_different() -> None:
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.extend([new_id("x") for _ in range(2000)]))
        for _ in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(ids)) == 8000


def test_an_id_can_sort_by_another_moment() -> None:
    now = utc_now()
    old, young = (new_id("run_", at=now - timedelta(days=n)) for n in (2, 1))

    assert old < young < new_id("run_")


def test_an_id_of_another_moment_does_not_hold_up_the_others() -> None:
    future = new_id("run_", at=datetime(2999, 1, 1, tzinfo=UTC))

    assert new_id("run_") < future


def test_an_id_is_a_ulid_in_lower_case() -> None:
    run_id = new_id("run_", at=datetime(1970, 1, 1, tzinfo=UTC))

    assert run_id.startswith("run_0000000000")
    assert len(run_id) == len("run_") + 26


def test_statuses_are_spelled_as_on_the_wire() -> None:
    assert [str(status) for status in RunStatus] == [
        "queued",
        "starting",
        "processing",
        "succeeded",
        "failed",
        "canceled",
        "expired",
        "interrupted",
    ]


def test_only_parameters_that_were_given_are_passed_on() -> None:
    parameters = Parameters(max_tokens=0, temperature=0.0, stop=("\n",))

    assert parameters.given() == {"max_tokens": 0, "temperature": 0.0, "stop": ("\n",)}
    assert Parameters().given() == {}


def test_the_current_moment_has_its_zone() -> None:
    assert utc_now().utcoffset() == timedelta(0)
