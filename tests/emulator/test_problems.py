import json
from typing import Any

import httpx2
import pytest

from replicate_emulator.routes.problems import Problem
from replicate_emulator.routes.validation import check_input
from tests.emulator.driver import MAVERICK, Driver


def parrot(emulator: Driver, given: dict[str, Any]) -> httpx2.Response:
    model = emulator.http.get("/v1/models/llamakeep/parrot").json()
    version = model["latest_version"]["id"]
    return emulator.http.post(
        "/v1/predictions", json={"version": version, "input": given}
    )


def test_without_credentials_the_answer_is_replicates_401(emulator: Driver) -> None:
    answer = emulator.post(headers={"authorization": ""})

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "title": "Unauthenticated",
        "detail": "You did not pass a valid authentication token",
        "status": 401,
    }


def test_an_emulator_can_insist_on_one_api_token(emulator: Driver) -> None:
    emulator.set(api_token="r8_right")

    answers = [
        emulator.post(headers={"authorization": credentials}).status_code
        for credentials in ("Bearer r8_right", "Token r8_right", "Bearer r8_wrong")
    ]

    assert answers == [201, 201, 401]


@pytest.mark.parametrize(
    "path",
    ["/v1/predictions/nothing", "/v1/models/no/body", "/v1/nowhere", "/v1/streams/x"],
)
def test_what_does_not_exist_is_replicates_404(emulator: Driver, path: str) -> None:
    answer = emulator.http.get(path)

    assert answer.status_code == 404
    assert answer.json() == {
        "detail": "The requested resource could not be found.",
        "status": 404,
    }


def test_a_wrong_method_is_a_problem_too(emulator: Driver) -> None:
    answer = emulator.http.delete("/v1/predictions")

    assert answer.status_code == 405
    assert answer.json()["status"] == 405


def test_only_official_models_run_by_name(emulator: Driver) -> None:
    by_path = emulator.post(model="llamakeep/parrot")
    by_version = emulator.http.post(
        "/v1/predictions", json={"version": "llamakeep/parrot", "input": {}}
    )

    assert by_path.status_code == 404
    assert by_version.json()["title"] == "Invalid version or not permitted"
    assert by_version.status_code == 422


def test_a_version_belongs_to_its_model(emulator: Driver) -> None:
    model = emulator.http.get("/v1/models/llamakeep/parrot").json()
    version = f"{MAVERICK}:{model['latest_version']['id']}"

    answer = emulator.http.post(
        "/v1/predictions", json={"version": version, "input": {}}
    )

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (
            '{"input": {}, "stream": "yes"}',
            "json: cannot unmarshal string into Go struct field Prediction.stream",
        ),
        ("[]", "json: cannot unmarshal array into Go value of type Prediction"),
        ("{", "invalid character looking for beginning of value"),
    ],
)
def test_json_that_go_cannot_decode_is_a_400(
    emulator: Driver, body: str, detail: str
) -> None:
    answer = emulator.http.post(f"/v1/models/{MAVERICK}/predictions", content=body)

    assert answer.status_code == 400
    expected = f"Failed to parse request body as JSON: {detail}"
    assert answer.json()["detail"].startswith(expected)


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        ({}, "required", ""),
        ({"input": {}, "cache": True}, "additional_property_not_allowed", ""),
        ({"input": {}, "version": "x"}, "additional_property_not_allowed", ""),
        ({"input": {}, "webhook": "http://example.com"}, "format", "webhook"),
        ({"input": {}, "webhook": "http://[bad"}, "format", "webhook"),
        (
            {"input": {}, "webhook_events_filter": ["start", "end"]},
            "enum",
            "webhook_events_filter.1",
        ),
        ({"input": {"prompt": 1}}, "invalid_type", "input.prompt"),
        ({"input": {"max_tokens": 131_073}}, "number_lte", "input.max_tokens"),
    ],
)
def test_a_body_that_is_not_as_the_schema_says_is_a_422(
    emulator: Driver, body: dict[str, Any], kind: str, field: str
) -> None:
    answer = emulator.http.post(f"/v1/models/{MAVERICK}/predictions", json=body)

    assert answer.status_code == 422
    assert answer.json()["title"] == "Input validation failed"
    assert [
        (each["type"], each["field"]) for each in answer.json()["invalid_fields"]
    ] == [(kind, field)]


def test_everything_that_is_wrong_with_an_input_is_said_at_once(
    emulator: Driver,
) -> None:
    answer = parrot(emulator, {"temperature": 5.5, "max_tokens": 0})

    assert answer.status_code == 422
    assert answer.json() == {
        "title": "Input validation failed",
        "detail": (
            "- input: prompt is required\n"
            "- input.max_tokens: Must be greater than or equal to 1\n"
            "- input.temperature: Must be less than or equal to 5\n"
        ),
        "status": 422,
        "invalid_fields": [
            {
                "type": "required",
                "field": "input",
                "description": "prompt is required",
            },
            {
                "type": "number_gte",
                "field": "input.max_tokens",
                "description": "Must be greater than or equal to 1",
            },
            {
                "type": "number_lte",
                "field": "input.temperature",
                "description": "Must be less than or equal to 5",
            },
        ],
    }


def test_an_integer_is_a_number_but_a_boolean_is_none(emulator: Driver) -> None:
    answers = [
        parrot(emulator, {"prompt": "x", "temperature": value}).status_code
        for value in (1, 1.5, True)
    ]

    assert answers == [201, 201, 422]


def test_a_choice_has_to_be_one_of_those_offered() -> None:
    properties = {"voice": {"type": "string", "enum": ["loud", "soft"]}}
    schema = {"components": {"schemas": {"Input": {"properties": properties}}}}

    with pytest.raises(Problem) as caught:
        check_input({"voice": "none"}, schema)

    assert caught.value.body["invalid_fields"] == [
        {
            "type": "enum",
            "field": "input.voice",
            "description": 'input.voice must be one of the following: "loud", "soft"',
        }
    ]


@pytest.mark.parametrize("header", ["4", "25h", "soon", ""])
def test_a_cancel_after_out_of_bounds_is_refused(emulator: Driver, header: str) -> None:
    answer = emulator.post(headers={"cancel-after": header})

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            {"status": 402},
            {
                "title": "Insufficient credit",
                "detail": "You have insufficient credit to run this model. Go to "
                "https://replicate.com/account/billing#billing to purchase credit. "
                "Once you purchase credit, please wait a few minutes before trying "
                "again.",
                "status": 402,
            },
        ),
        (
            {"status": 429, "retry_after": 30},
            {
                "detail": "Request was throttled. Your rate limit resets in ~30s.",
                "status": 429,
                "retry_after": 30,
            },
        ),
        (
            {"status": 401},
            {
                "title": "Unauthenticated",
                "detail": "You did not pass a valid authentication token",
                "status": 401,
            },
        ),
        (
            {"status": 404},
            {"detail": "The requested resource could not be found.", "status": 404},
        ),
        (
            {"status": 500},
            {"detail": "The emulator was asked for this.", "status": 500},
        ),
    ],
)
def test_a_rule_refuses_as_replicate_does(
    emulator: Driver, rule: dict[str, Any], expected: dict[str, Any]
) -> None:
    emulator.rule(**rule)

    answer = emulator.post()

    assert answer.status_code == rule["status"]
    assert answer.json() == expected
    assert emulator.known()["count"] == 0
    assert emulator.post().status_code == 201


def test_a_rule_can_refuse_with_html(emulator: Driver) -> None:
    emulator.rule(status=502, html=True)

    answer = emulator.post()

    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("text/html")
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_low_credit_allows_one_create_in_ten_seconds(emulator: Driver) -> None:
    emulator.set(low_credit=True, retry_after_header=True)

    first, second = emulator.post(), emulator.post()

    assert first.status_code == 201
    assert first.headers["ratelimit-remaining"] == "0"
    assert second.status_code == 429
    assert second.headers["retry-after"] == "10"
    assert second.headers["ratelimit-remaining"] == "0"
    assert second.json() == {
        "detail": "Request was throttled. Your rate limit for creating predictions is "
        "reduced to 6 requests per minute with a burst of 1 requests while you have "
        "less than $5.0 in credit. Your rate limit resets in ~10s.",
        "status": 429,
        "retry_after": 10,
    }
    assert second.text.endswith("\n")


def test_creates_and_other_requests_have_limits_of_their_own(emulator: Driver) -> None:
    emulator.set(creates_per_minute=2, requests_per_minute=1)

    creates = [emulator.post() for _ in range(3)]
    others = [emulator.http.get("/v1/account") for _ in range(2)]

    assert [each.status_code for each in creates] == [201, 201, 429]
    assert [each.status_code for each in others] == [200, 429]
    assert "retry-after" not in others[1].headers


def test_every_answer_tells_the_rate_limit(emulator: Driver) -> None:
    created = emulator.post()
    others = [
        emulator.http.get(path)
        for path in (f"/v1/predictions/{created.json()['id']}", "/v1/models")
    ]

    assert created.headers["ratelimit-remaining"] == "599"
    assert [each.headers["ratelimit-remaining"] for each in others] == ["59999", "2999"]
    assert created.headers["ratelimit-reset"] == "1"
