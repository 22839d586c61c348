import time

import httpx2
import pytest

from tests.emulator.driver import MAVERICK, Driver, events

LOST = (httpx2.RemoteProtocolError, httpx2.ReadError)


def test_the_answer_to_a_create_can_get_lost(emulator: Driver) -> None:
    emulator.rule(drop=True, creates=True)

    with pytest.raises(LOST):
        emulator.post("Hello")

    known = emulator.known()
    assert known["count"] == 1
    assert known["predictions"][0]["input"] == {"prompt": "Hello"}


def test_a_create_can_get_lost_before_it_does_anything(emulator: Driver) -> None:
    emulator.rule(drop=True)

    with pytest.raises(LOST):
        emulator.post()

    assert emulator.known()["count"] == 0


def test_a_create_can_be_refused_and_carried_out(emulator: Driver) -> None:
    emulator.rule(status=502, html=True, creates=True)

    answer = emulator.post()

    assert answer.status_code == 502
    assert emulator.known()["count"] == 1


def test_an_answer_can_be_slow(emulator: Driver) -> None:
    emulator.rule(delay=0.2)
    began = time.monotonic()

    emulator.create()

    assert time.monotonic() - began >= 0.2


def test_other_requests_can_be_refused_or_lost_too(emulator: Driver) -> None:
    created = emulator.create("Hello")
    emulator.rule(on="get", status=503, match="Hell")
    emulator.rule(on="list", drop=True)

    refused = emulator.http.get(created["urls"]["get"])

    assert refused.status_code == 503
    with pytest.raises(LOST):
        emulator.http.get("/v1/predictions")
    assert emulator.get(created)["status"] == "succeeded"


def test_a_stream_can_be_reset_in_the_middle(emulator: Driver) -> None:
    created = emulator.create("one two three")
    emulator.rule(on="stream", drop=True, after=2)
    heard: list[bytes] = []

    with pytest.raises(LOST), emulator.open_stream(created) as answer:
        heard.extend(answer.iter_raw())

    assert [data for _, data in events(b"".join(heard).decode())] == ["one", " two"]
    assert events(emulator.stream(created))[-1] == ("done", "{}")


def test_a_resumed_stream_can_be_reset_again(emulator: Driver) -> None:
    created = emulator.create("one two three four")
    emulator.rule(on="stream", done=False, after=1, times=2)

    first = emulator.stream(created)
    seen = first.partition("id: ")[2].partition("\n")[0]
    second = emulator.stream(created, last_event_id=seen)

    assert events(first) == [("output", "one")]
    assert events(second) == [("output", " two")]


def test_a_stream_can_end_without_done(emulator: Driver) -> None:
    created = emulator.create("one two")
    emulator.rule(on="stream", done=False)

    stream = emulator.stream(created)

    assert events(stream) == [("output", "one"), ("output", " two")]


def test_a_stream_can_be_refused(emulator: Driver) -> None:
    created = emulator.create()
    emulator.rule(on="stream", status=404)

    with emulator.open_stream(created) as answer:
        status = answer.status_code

    assert status == 404


def test_a_stream_can_speak_crlf_and_bring_logs(emulator: Driver) -> None:
    created = emulator.finished("Hello")
    emulator.rule(on="stream", crlf=True, logs=True)

    stream = emulator.stream(created)

    told = events(stream.replace("\r\n", "\n"))
    assert stream.count("\n") == stream.count("\r\n")
    assert [name for name, _ in told] == ["logs", "output", "done"]
    assert told[0][1] == created["logs"].rstrip("\n")


def test_addresses_can_point_somewhere_else(emulator: Driver) -> None:
    emulator.rule(origin="https://foreign.example")

    body = emulator.create()

    assert all(
        url.startswith("https://foreign.example/") for url in body["urls"].values()
    )


@pytest.mark.slow
def test_a_prediction_can_run_for_ever(emulator: Driver) -> None:
    emulator.rule(end="never", after=1)

    answer = emulator.post("one two", headers={"prefer": "wait=1"})

    body = emulator.get(answer.json())
    assert answer.status_code == 202
    assert (body["status"], body["output"]) == ("processing", ["one"])


def test_a_prediction_can_wait_for_ever(emulator: Driver) -> None:
    emulator.rule(end="never", after=0)

    created = emulator.create()

    assert emulator.get(created)["status"] == "starting"


def test_a_prediction_can_fail_before_it_starts(emulator: Driver) -> None:
    emulator.rule(end="failed", error="Director: timeout (E6716)", after=0)

    body = emulator.finished()

    assert body["status"] == "failed"
    assert "started_at" not in body


def test_a_failure_without_a_reason_is_one_that_may_be_retried(
    emulator: Driver,
) -> None:
    emulator.rule(end="failed")

    body = emulator.finished()

    assert body["error"] == "Prediction interrupted; please retry (code: PA)"


def test_a_prediction_can_be_slow_to_start(emulator: Driver) -> None:
    emulator.rule(start_delay=60)

    emulator.create("slow")
    other = emulator.finished("fast")

    slow = emulator.known(prompt="slow")["predictions"][0]
    assert slow["status"] == "starting"
    assert other["status"] == "succeeded"


def test_a_script_answers_the_prompts_it_is_meant_for(emulator: Driver) -> None:
    emulator.rule(match="weather", deltas=["It", " rains."], times=None)

    outputs = [
        emulator.finished(prompt)["output"]
        for prompt in ("The weather?", "Hello", "weather, please")
    ]

    assert outputs == [["It", " rains."], ["Hello"], ["It", " rains."]]


def test_scripts_answer_one_create_after_the_other(emulator: Driver) -> None:
    emulator.http.post("/_emulator/rules", json=[{"deltas": ["1"]}, {"deltas": ["2"]}])

    outputs = [emulator.finished("Hello")["output"] for _ in range(3)]

    assert outputs == [["1"], ["2"], ["Hello"]]


def test_a_request_can_bring_its_own_rule(emulator: Driver) -> None:
    emulator.rule(status=500)

    own = emulator.finished(headers={"x-emulator-rule": '{"deltas": ["mine"]}'})

    assert own["output"] == ["mine"]
    assert emulator.post().status_code == 500


def test_a_rule_that_nobody_understands_is_refused(emulator: Driver) -> None:
    in_header = emulator.post(headers={"x-emulator-rule": "{"})
    in_body = emulator.http.post("/_emulator/rules", json={"creates": True})

    assert in_header.status_code == 400
    assert in_body.status_code == 422


@pytest.mark.parametrize("field", [{"error": "x"}, {"drop": True, "status": 500}])
def test_a_rule_cannot_contradict_itself(
    emulator: Driver, field: dict[str, object]
) -> None:
    answer = emulator.http.post("/_emulator/rules", json={"on": "stream", **field})

    assert answer.status_code == 422


def test_a_probable_fault_hits_some_requests_and_not_others(emulator: Driver) -> None:
    emulator.rule(status=500, probability=0.5, times=None)

    answers = {emulator.post().status_code for _ in range(60)}

    assert answers == {201, 500}


def test_a_rule_is_used_up_after_its_times(emulator: Driver) -> None:
    emulator.rule(status=500, times=2)

    answers = [emulator.post().status_code]
    waiting = emulator.http.get("/_emulator/rules").json()
    answers += [emulator.post().status_code for _ in range(2)]

    assert waiting == [{"status": 500}]
    assert answers == [500, 500, 201]


def test_rules_can_be_forgotten(emulator: Driver) -> None:
    emulator.rule(status=500, times=None)

    emulator.http.delete("/_emulator/rules").raise_for_status()

    assert emulator.post().status_code == 201


def test_a_create_that_was_lost_while_waiting_goes_on(emulator: Driver) -> None:
    emulator.set(first_delay=0.3)
    url = f"{emulator.origin}/v1/models/{MAVERICK}/predictions"
    headers = {"authorization": "Bearer x", "prefer": "wait"}
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(
            url, json={"input": {"prompt": "Hello"}}, headers=headers, timeout=0.1
        )

    created = emulator.known()["predictions"][0]

    assert events(emulator.stream(created)) == [("output", "Hello"), ("done", "{}")]
