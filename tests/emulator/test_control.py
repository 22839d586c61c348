from tests.emulator.driver import Driver


def test_requests_are_counted_by_kind(emulator: Driver) -> None:
    created = emulator.create()
    emulator.get(created)
    emulator.stream(created)
    emulator.cancel(created)
    for path in ("/v1/predictions", "/v1/models", "/v1/account"):
        emulator.http.get(path)

    counted = emulator.http.get("/_emulator/requests").json()

    kinds = ("create", "get", "stream", "cancel", "list", "models", "account")
    assert counted == dict.fromkeys(kinds, 1)
    assert emulator.observed(created)["requests"] == {
        "get": 1,
        "stream": 1,
        "cancel": 1,
    }


def test_what_was_created_twice_is_seen(emulator: Driver) -> None:
    for prompt, run in (("same", "1"), ("same", "1"), ("other", "2")):
        emulator.create(prompt, webhook=f"https://example.com/?run={run}")

    known = emulator.known()

    assert known["count"] == 3
    assert known["by_webhook"] == {
        "https://example.com/?run=1": 2,
        "https://example.com/?run=2": 1,
    }
    assert sorted(known["by_input"].values()) == [1, 2]
    emulator.advance(3600)
    assert emulator.known()["by_input"] == known["by_input"]
    assert emulator.known(webhook="run=2")["count"] == 1
    assert emulator.known(prompt="same")["count"] == 2


def test_settings_can_be_changed_and_replaced(emulator: Driver) -> None:
    emulator.set(gap=1)
    changed = emulator.http.get("/_emulator/settings").json()

    replaced = emulator.http.put("/_emulator/settings", json={"gap": 2}).json()

    assert (changed["gap"], changed["first_delay"]) == (1, 0)
    assert (replaced["gap"], replaced["first_delay"]) == (2, 0.1)


def test_settings_nobody_knows_are_refused(emulator: Driver) -> None:
    answers = [
        emulator.http.request(method, "/_emulator/settings", json={"speed": 1})
        for method in ("PUT", "PATCH")
    ]

    assert [each.status_code for each in answers] == [422, 422]


def test_the_clock_can_be_read_and_turned(emulator: Driver) -> None:
    before = emulator.http.get("/_emulator/clock").json()

    emulator.advance(3600)

    after = emulator.http.get("/_emulator/clock").json()
    assert (before["offset"], after["offset"]) == (0, 3600)
    assert after["monotonic"] - before["monotonic"] < 60


def test_a_reset_forgets_everything(emulator: Driver) -> None:
    emulator.set(gap=1)
    emulator.create()
    emulator.rule(status=500)
    emulator.advance(10)

    emulator.reset()

    assert emulator.known()["count"] == 0
    assert emulator.http.get("/_emulator/requests").json() == {}
    assert emulator.http.get("/_emulator/clock").json()["offset"] == 0
    assert emulator.http.get("/_emulator/settings").json()["gap"] == 0
    assert emulator.post().status_code == 201


def test_a_prediction_nobody_made_cannot_be_looked_at(emulator: Driver) -> None:
    answer = emulator.http.get("/_emulator/predictions/nothing")

    assert answer.status_code == 404
