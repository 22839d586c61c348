import copy
from typing import Any

import pytest

from tests.torture.checker import Told, Verdict, check

PROMPT = "one two"
RUN = {
    "id": "run_1",
    "prompt": PROMPT,
    "response": "uno due",
    "status": "succeeded",
    "error": None,
    "created_at": "2026-01-01T00:00:00Z",
    "finished_at": "2026-01-01T00:00:09.5Z",
}
PREDICTION = {
    "id": "p1",
    "input": {"prompt": PROMPT},
    "output": ["uno ", "due"],
    "status": "succeeded",
    "created_at": "2026-01-01T00:00:02Z",
    "completed_at": "2026-01-01T00:00:04Z",
}
MIDNIGHT = 1767225600
"""As the other clock has it."""


def verdict(
    *,
    told: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
    prediction: dict[str, Any] | None = None,
    more_runs: tuple[dict[str, Any], ...] = (),
    more_predictions: tuple[dict[str, Any], ...] = (),
    **facts: Any,
) -> Verdict:
    """What is said about a story that is true but for the changes."""
    client = Told(prompt=PROMPT, run_ids={"run_1"}, texts=["uno due"], resumed=2)
    for name, value in (told or {}).items():
        setattr(client, name, value)
    runs = [RUN | (run or {}), *(RUN | one for one in more_runs)]
    predictions = [
        PREDICTION | (prediction or {}),
        *(PREDICTION | one for one in more_predictions),
    ]
    history = {one["id"]: one for one in runs}
    return check([client], copy.deepcopy(history), predictions, **facts)


def test_a_true_story_has_no_faults() -> None:
    found = verdict()

    assert found == Verdict(prompts=1, resumed=2)


def test_a_run_that_is_missing_is_found() -> None:
    found = check(
        [Told(prompt=PROMPT, run_ids={"run_1"})], {}, [copy.deepcopy(PREDICTION)]
    )

    assert found.lost == ["run_1 was promised, and is not in the history"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"run_ids": set()}, "'one two' was never accepted (None)"),
        ({"run_ids": {"run_2"}}, "run_2 was promised, and is not in the history"),
    ],
)
def test_a_promise_that_the_history_does_not_know_is_found(
    change: dict[str, Any], fault: str
) -> None:
    found = verdict(told=change)

    assert found.lost == [fault]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"prompt": "three"}, "run_1 is not about what it was made for"),
        ({"status": "processing"}, "run_1 has not ended: it is processing"),
        ({"status": "failed", "error": "broken"}, "run_1 has failed: broken"),
        ({"status": "canceled"}, "run_1 has canceled: None"),
    ],
)
def test_a_run_that_was_not_answered_is_found(
    change: dict[str, Any], fault: str
) -> None:
    found = verdict(run=change)

    assert found.lost == [fault]


def test_a_run_may_be_canceled_by_its_client_with_part_of_its_text() -> None:
    found = verdict(
        told={"is_canceled": True, "texts": [], "status": "canceled"},
        run={"status": "canceled", "response": "uno"},
        prediction={"status": "canceled"},
    )

    assert found.faults == []


@pytest.mark.parametrize(
    "change",
    [
        {"response": "uno"},
        {"response": "uno due "},
        {"response": "uno uno due"},
        {"response": "", "status": "succeeded"},
        {"response": "one", "status": "canceled"},
    ],
)
def test_a_text_that_the_provider_did_not_say_is_found(change: dict[str, Any]) -> None:
    found = verdict(
        told={"texts": [], "is_canceled": change.get("status") == "canceled"},
        run=change,
    )

    assert len(found.wrong) == 1
    assert not found.lost


def test_a_text_of_a_prediction_that_did_not_succeed_is_found() -> None:
    found = verdict(prediction={"status": "canceled"})

    assert found.wrong == ["run_1 says 'uno due', but the provider said []"]


def test_a_client_that_was_told_another_text_is_found() -> None:
    found = verdict(told={"texts": ["uno due", "uno"]})

    assert found.wrong == ["run_1 keeps 'uno due', but a client was told 'uno'"]


def test_a_client_that_was_told_another_end_is_found() -> None:
    found = verdict(told={"status": "canceled"})

    assert found.wrong == ["run_1 is succeeded, but a client was told canceled"]


def test_a_second_prediction_is_found() -> None:
    found = verdict(more_predictions=({"id": "p2", "status": "canceled"},))

    assert found.twice == [
        "['run_1'] has several predictions: p1 succeeded, p2 canceled"
    ]


def test_a_frozen_holder_may_leave_a_prediction_that_is_canceled() -> None:
    found = verdict(
        more_predictions=({"id": "p2", "status": "canceled"},), may_freeze=True
    )

    assert found == Verdict(prompts=1, resumed=2, extra_canceled=1)


def test_a_frozen_holder_may_be_too_late_to_cancel_a_prediction() -> None:
    late = {"id": "p2", "status": "succeeded", "requests": {"cancel": 1}}

    found = verdict(more_predictions=(late,), may_freeze=True)

    assert found == Verdict(prompts=1, resumed=2, extra_canceled=1)


@pytest.mark.parametrize("requests", [{}, {"stream": 1, "get": 1}])
def test_a_frozen_holder_may_not_leave_a_prediction_alone(
    requests: dict[str, int],
) -> None:
    other = {"id": "p2", "status": "succeeded", "requests": requests}

    found = verdict(more_predictions=(other,), may_freeze=True)

    assert found.twice == [
        "['run_1'] has several predictions: p1 succeeded, p2 succeeded"
    ]


def test_a_frozen_holder_may_not_leave_a_prediction_that_goes_on() -> None:
    found = verdict(
        more_predictions=({"id": "p2", "status": "processing"},), may_freeze=True
    )

    assert found.twice == [
        "['run_1'] has several predictions: p1 succeeded, p2 processing",
        "p2 goes on for nobody: it is processing",
    ]


def test_a_prompt_that_became_two_runs_is_found() -> None:
    found = verdict(more_runs=({"id": "run_2"},))

    assert found.twice == ["one prompt became several runs: ['run_1', 'run_2']"]


def test_recovering_is_measured_from_the_last_kill_without_the_provider_s_time() -> (
    None
):
    # The prediction ended at 4 seconds, and the run at 9.5.
    found = verdict(strikes=[MIDNIGHT + 1, MIDNIGHT + 3, MIDNIGHT + 20], bound=5)

    assert found.slowest == pytest.approx(5.5)
    assert found.slow == ["run_1 took 5.5 s to recover"]


def test_a_run_that_no_kill_hit_did_not_have_to_recover() -> None:
    found = verdict(strikes=[MIDNIGHT - 1, MIDNIGHT + 20], bound=0)

    assert found.slowest == 0


def test_a_client_that_was_told_wrongly_that_nothing_was_stored_is_found() -> None:
    found = verdict(told={"denied_at": [MIDNIGHT + 1]})

    assert found.wrong == ["run_1 was stored, but a client was told that nothing was"]


def test_a_prompt_may_be_stored_after_it_was_refused() -> None:
    found = verdict(told={"denied_at": [MIDNIGHT - 1]})

    assert found.faults == []


def test_a_client_that_was_told_that_its_run_is_not_there_is_found() -> None:
    found = verdict(told={"missing": {"run_1"}})

    assert found.wrong == ["run_1 is there, but a client was told that it is not"]


def test_servers_with_wrong_clocks_are_not_measured_but_may_not_pay_twice() -> None:
    found = verdict(
        told={"denied_at": [MIDNIGHT + 1]},
        more_predictions=({"id": "p2"},),
        strikes=[MIDNIGHT + 3],
        bound=0,
        has_true_clocks=False,
    )

    assert (found.wrong, found.slow, found.slowest) == ([], [], 0)
    assert len(found.twice) == 1


def test_a_server_that_did_not_stop_in_good_order_is_found() -> None:
    found = verdict(exits=[0, 1, -9])

    assert found.damage == [
        "a server that was told to stop ended with 1",
        "a server that was told to stop ended with -9",
    ]


def test_verdicts_add_up() -> None:
    found = verdict(run={"status": "processing"})
    found += verdict(more_predictions=({"id": "p2"},), strikes=[MIDNIGHT + 3])

    assert (found.prompts, found.resumed) == (2, 4)
    assert (len(found.lost), len(found.twice), len(found.faults)) == (1, 1, 2)
    assert found.slowest == pytest.approx(5.5)


def test_a_run_that_cannot_be_found_may_be_interrupted_without_text() -> None:
    run = {"status": "interrupted", "response": "", "error": "It stopped."}
    lost = verdict(run=run, told={"texts": []})
    found = verdict(run=run, told={"texts": []}, unfound={"run_1"})
    kept = verdict(run=run | {"response": "uno"}, told={"texts": []}, unfound={"run_1"})

    assert lost.lost == kept.lost == ["run_1 has interrupted: It stopped."]
    assert (found.faults, found.interrupted) == ([], 1)
