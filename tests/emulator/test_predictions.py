import time
from typing import Any

import pytest

from llamakeep.domain import Usage
from llamakeep.errors import ProviderUnavailable
from llamakeep.providers.base import Finished
from replicate_emulator import EmulatorSettings, open_emulator
from replicate_emulator.clock import Clock
from replicate_emulator.predictions import Prediction
from tests.emulator.driver import MAVERICK, Driver
from tests.fakes import ScriptedProvider

PARROT = "llamakeep/parrot"


def test_a_new_prediction_is_starting_and_knows_its_addresses(emulator: Driver) -> None:
    emulator.set(start_delay=5)

    answer = emulator.post("Hello", webhook="https://example.com/hook?run=7")

    body = answer.json()
    this = f"{emulator.origin}/v1/predictions/{body['id']}"
    assert answer.status_code == 201
    assert answer.headers["location"] == this
    assert len(body["id"]) == 26
    assert body["urls"].pop("stream").startswith(f"{emulator.origin}/v1/streams/")
    assert body == {
        "id": body["id"],
        "model": MAVERICK,
        "version": "hidden",
        "input": {"prompt": "Hello"},
        "logs": "",
        "output": None,
        "data_removed": False,
        "error": None,
        "source": "api",
        "status": "starting",
        "created_at": body["created_at"],
        "webhook": "https://example.com/hook?run=7",
        "urls": {
            "get": this,
            "cancel": f"{this}/cancel",
            "web": f"{emulator.origin}/p/{body['id']}",
        },
    }


def test_addresses_can_be_given_a_public_origin(emulator: Driver) -> None:
    emulator.set(public_url="https://emulator.example")

    body = emulator.create()

    assert body["urls"]["get"].startswith("https://emulator.example/v1/predictions/")


def test_all_three_spellings_of_a_version_run_it(emulator: Driver) -> None:
    version = emulator.http.get(f"/v1/models/{PARROT}/versions").json()["results"][1]
    spellings = [MAVERICK, f"{PARROT}:{version['id']}", version["id"]]

    answers = [
        emulator.http.post(
            "/v1/predictions", json={"version": each, "input": {"prompt": "x"}}
        ).json()
        for each in spellings
    ]

    assert [(each["model"], each["version"]) for each in answers] == [
        (MAVERICK, "hidden"),
        (PARROT, version["id"]),
        (PARROT, version["id"]),
    ]


def test_a_deployment_is_named_in_its_predictions(emulator: Driver) -> None:
    answer = emulator.http.post(
        "/v1/deployments/llamakeep/llama/predictions", json={"input": {"prompt": "x"}}
    )

    assert answer.json()["deployment"] == "llamakeep/llama"
    assert answer.json()["model"] == MAVERICK


@pytest.mark.parametrize("prefix", ["", "/v1", "/v1/v1"])
def test_a_base_url_works_with_and_without_v1(emulator: Driver, prefix: str) -> None:
    answer = emulator.http.get(f"{prefix}/account")

    assert answer.json()["type"] == "organization"


def test_a_create_that_waits_gets_the_output_without_usage(emulator: Driver) -> None:
    answer = emulator.post("one two", headers={"prefer": "wait=10"})

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == "wait=10"
    assert body["status"] == "processing"
    assert body["output"] == ["one", " two"]
    assert not {"metrics", "started_at", "completed_at"} & body.keys()


@pytest.mark.slow
def test_a_create_that_waited_in_vain_gets_no_part_of_the_output(
    emulator: Driver,
) -> None:
    emulator.set(gap=2)

    answer = emulator.post("one two", headers={"prefer": "wait=1"})

    assert answer.status_code == 202
    assert answer.json()["status"] == "starting"
    assert answer.json()["output"] is None


def test_a_create_that_waits_learns_of_a_failure(emulator: Driver) -> None:
    emulator.rule(end="failed", error="Out of luck")

    answer = emulator.post(headers={"prefer": "wait"})

    assert answer.status_code == 201
    assert answer.json()["status"] == "failed"
    assert answer.json()["error"] == "Out of luck"


def test_a_finished_prediction_reports_its_usage(emulator: Driver) -> None:
    body = emulator.finished("one two three", input_more={"system_prompt": "Be good"})

    assert body["status"] == "succeeded"
    assert body["metrics"]["input_token_count"] == 5
    assert body["metrics"]["output_token_count"] == 3
    assert body["metrics"].keys() > {"predict_time", "total_time", "tokens_per_second"}
    assert body["created_at"] <= body["started_at"] <= body["completed_at"]
    assert "Formatted prompt: `one two three`" in body["logs"]


@pytest.mark.parametrize(
    ("more", "output"),
    [
        ({"max_tokens": 2}, ["one", " two"]),
        ({"stop_sequences": "nowhere,, three"}, ["one", " two"]),
        ({"unknown": 1}, ["one", " two", " three"]),
    ],
)
def test_an_echo_ends_where_the_input_says(
    emulator: Driver, more: dict[str, Any], output: list[str]
) -> None:
    body = emulator.finished("one two three", input_more=more)

    assert body["output"] == output


def test_words_can_be_joined_into_larger_deltas(emulator: Driver) -> None:
    emulator.set(words=2)

    body = emulator.finished("one two three")

    assert body["output"] == ["one two", " three"]


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ("  ", "E1001 PromptRequired: A prompt is required"),
        (
            "word " * 9000,
            "E1002 PromptTooLong: Prompt length (9001) exceeds",
        ),
    ],
)
def test_a_prompt_no_model_would_take_fails_as_models_do(
    emulator: Driver, prompt: str, error: str
) -> None:
    body = emulator.finished(prompt, model="meta/meta-llama-3-8b-instruct")

    assert body["status"] == "failed"
    assert body["error"].startswith(error)


@pytest.mark.parametrize(
    ("pace", "status"),
    [({"start_delay": 60}, "aborted"), ({"first_delay": 60}, "canceled")],
)
def test_a_deadline_aborts_what_waits_and_cancels_what_runs(
    emulator: Driver, pace: dict[str, float], status: str
) -> None:
    emulator.set(**pace)
    created = emulator.create(headers={"cancel-after": "1m30s"})

    emulator.advance(90)

    body = emulator.get(created)
    assert body["status"] == status
    assert body["deadline"] > body["created_at"]


@pytest.mark.slow
def test_a_deadline_needs_no_turning_of_the_clock(emulator: Driver) -> None:
    emulator.set(start_delay=60, min_cancel_after=0)

    body = emulator.create(headers={"cancel-after": "1", "prefer": "wait"})

    assert body["status"] == "aborted"


def test_a_canceled_prediction_says_nothing_more(emulator: Driver) -> None:
    emulator.set(gap=0.05)
    created = emulator.create("one two three")

    canceled = emulator.cancel(created)

    time.sleep(0.15)
    assert canceled["status"] == "canceled"
    assert canceled["metrics"].keys() <= {"total_time", "predict_time"}
    assert emulator.get(created) == canceled


@pytest.mark.slow
def test_a_deadline_that_passes_after_the_end_changes_nothing(
    emulator: Driver,
) -> None:
    body = emulator.finished(headers={"cancel-after": "60"})

    emulator.advance(60)

    assert emulator.get(body) == body


def test_an_answer_may_be_empty(emulator: Driver) -> None:
    emulator.rule(deltas=[])

    body = emulator.finished()

    assert (body["status"], body["output"]) == ("succeeded", [])
    assert "time_to_first_token" not in body["metrics"]


async def test_a_prediction_ends_only_once() -> None:
    prediction = Prediction(
        clock=Clock(), origin="", model=MAVERICK, version="", input={"prompt": 1}
    )
    prediction.finish("failed", "Oops")

    with pytest.raises(ValueError, match="a failed prediction cannot become succeeded"):
        prediction.finish("succeeded")

    assert prediction.prompt == ""


def test_canceling_what_has_ended_changes_nothing(emulator: Driver) -> None:
    body = emulator.finished()

    assert emulator.cancel(body) == body


def test_data_is_erased_an_hour_after_the_end(emulator: Driver) -> None:
    body = emulator.finished()
    emulator.advance(3599)
    assert emulator.get(body)["output"] == ["one", " two", " three"]

    emulator.advance(1)

    erased = emulator.get(body)
    assert erased["data_removed"] is True
    assert (erased["input"], erased["output"], erased["logs"]) == ({}, None, "")
    assert erased["metrics"] == body["metrics"]


def test_a_prediction_can_be_erased_at_once(emulator: Driver) -> None:
    body = emulator.create()

    emulator.http.post(f"/_emulator/predictions/{body['id']}/erase").raise_for_status()

    assert emulator.get(body)["data_removed"] is True


def test_a_prediction_can_be_aborted_from_outside(emulator: Driver) -> None:
    emulator.set(start_delay=60)
    body = emulator.create()

    emulator.http.post(f"/_emulator/predictions/{body['id']}/abort").raise_for_status()

    assert emulator.get(body)["status"] == "aborted"


def test_deltas_are_said_when_they_are_due(emulator: Driver) -> None:
    emulator.set(start_delay=0.05, first_delay=0.1, gap=0.02)

    times = emulator.observed(emulator.finished("one two three"))["monotonic"]

    said = [round(each - times["created"], 3) for each in times["emitted"]]
    for at, due in zip(said, [0.15, 0.17, 0.19], strict=True):
        assert due <= at + 0.001
        assert at < due + 0.1


def test_a_provider_that_was_handed_in_answers() -> None:
    finished = Finished("stop", Usage(input_tokens=11, output_tokens=2))
    provider = ScriptedProvider(["Hi", " there"], finished=finished)
    more = {"system_prompt": "Be kind", "max_tokens": 5, "stop_sequences": "a,b"}

    with open_emulator(EmulatorSettings(), provider=provider) as origin:
        driver = Driver(origin)
        body = driver.finished("Hello", input_more=more)
        driver.close()

    asked = provider.requests[0]
    assert body["output"] == ["Hi", " there"]
    assert body["metrics"]["input_token_count"] == 11
    assert [(each.role, each.content) for each in asked.messages] == [
        ("system", "Be kind"),
        ("user", "Hello"),
    ]
    assert asked.parameters.given() == {"max_tokens": 5, "stop": ("a", "b")}
    assert provider.is_closed


def test_a_provider_need_not_report_usage() -> None:
    with open_emulator(provider=ScriptedProvider(finished=Finished())) as origin:
        driver = Driver(origin)
        body = driver.finished("Hello there")
        driver.close()

    assert body["metrics"]["input_token_count"] == 2
    assert body["metrics"]["output_token_count"] == 3


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (ProviderUnavailable("It is down."), "It is down."),
        (ValueError(), "Director: unexpected error handling prediction (E9828)"),
    ],
)
def test_a_provider_that_fails_fails_the_prediction(
    failure: Exception, error: str
) -> None:
    provider = ScriptedProvider(["Hi", failure])

    with open_emulator(provider=provider) as origin:
        driver = Driver(origin)
        body = driver.finished("Hello")
        driver.close()

    assert (body["status"], body["error"]) == ("failed", error)
    assert body["output"] == ["Hi"]


def test_canceling_a_prediction_stops_its_provider() -> None:
    provider = ScriptedProvider(["Hi"] * 100_000)

    with open_emulator(EmulatorSettings(start_delay=0), provider=provider) as origin:
        driver = Driver(origin)
        created = driver.create("Hello")
        driver.cancel(created)
        driver.get(created)
        driver.close()

    assert provider.open_answers == 0
