import pytest

from replicate_emulator.post import post
from replicate_emulator.webhooks import signature
from tests.emulator.driver import Driver
from tests.emulator.receiver import open_receiver
from tests.receiving import open_receiver as open_server


def test_signatures_are_those_of_standard_webhooks() -> None:
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_completed_webhook_is_the_prediction_as_get_shows_it(
    emulator: Driver,
) -> None:
    with open_receiver() as receiver:
        created = emulator.create(
            webhook=receiver.url, webhook_events_filter=["completed"]
        )
        received = receiver.wait_for(1)

    assert received[0].path == "/hook?run=1"
    assert received[0].body == emulator.get(created)
    assert received[0].body["webhook"] == receiver.url
    assert received[0].body["webhook_events_filter"] == ["completed"]


def test_all_four_events_come_in_order(emulator: Driver) -> None:
    emulator.set(first_delay=0.1, gap=0.1, webhook_interval=0)
    with open_receiver() as receiver:
        emulator.create(
            "one two",
            webhook=receiver.url,
            webhook_events_filter=["start", "output", "logs", "completed"],
        )
        receiver.wait_for(4)

    sent = emulator.http.get("/_emulator/webhooks").json()
    assert [each["event"] for each in sent] == ["start", "logs", "output", "completed"]
    assert {each["status"] for each in sent} == {200}
    assert len({each["id"] for each in sent}) == 4
    assert receiver.received[2].body["output"] == ["one"]


def test_only_what_was_asked_for_is_sent(emulator: Driver) -> None:
    with open_receiver() as receiver:
        emulator.finished(webhook=receiver.url, webhook_events_filter=["start"])
        receiver.wait_for(1)

    sent = emulator.http.get("/_emulator/webhooks").json()
    assert [each["event"] for each in sent] == ["start"]


def test_without_a_filter_only_outputs_and_the_end_are_sent(emulator: Driver) -> None:
    emulator.set(gap=0.1)
    with open_receiver() as receiver:
        emulator.create("one two", webhook=receiver.url)
        received = receiver.wait_for(2)

    assert [each.body["status"] for each in received] == ["processing", "succeeded"]


@pytest.mark.slow
def test_outputs_are_not_sent_more_often_than_twice_a_second(emulator: Driver) -> None:
    emulator.set(gap=0.02)
    with open_receiver() as receiver:
        body = emulator.finished("word " * 30, webhook=receiver.url)
        received = receiver.wait_for(3)

    assert len(body["output"]) > 3
    assert len(received) == 3
    assert len(receiver.received) == 3


def test_only_the_last_webhook_is_repeated(emulator: Driver) -> None:
    emulator.set(gap=0.1, webhook_backoff=[0.01, 0.02, 0.03])
    with open_receiver(500, 503, 429, 200) as receiver:
        emulator.create("one two", webhook=receiver.url)
        received = receiver.wait_for(4)

    message_ids = [each.headers["webhook-id"] for each in received]
    assert len(received) == 4
    assert len(set(message_ids)) == 2
    assert len(set(message_ids[1:])) == 1


def test_a_receiver_that_is_not_there_is_given_up(emulator: Driver) -> None:
    emulator.set(webhook_backoff=[0.01])

    emulator.finished("", webhook="http://127.0.0.1:9/", webhook_events_filter=None)
    created = emulator.finished("Hello", webhook="http://127.0.0.1:9/")

    assert created["status"] == "succeeded"
    emulator.reset()
    assert emulator.http.get("/_emulator/webhooks").json() == []


async def test_a_webhook_is_sent_as_it_was_signed() -> None:
    async with open_server(302) as server:
        url = server.url.replace("//", "//name:password@")
        status = await post(url, {"webhook-id": "msg_1"}, b" {}", seconds=5)

    assert status == 302
    [one] = server.received
    assert (one.line, one.raw) == ("POST /hook?run=1 HTTP/1.1", b" {}")
    assert one.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "llamakeep-emulator",
        "accept": "*/*",
        "content-length": "3",
        "connection": "close",
        "webhook-id": "msg_1",
    }


@pytest.mark.parametrize("path", ["", "/", "//x", "/a/?b=/c//", "?b"])
async def test_a_webhook_goes_to_the_path_that_was_given(path: str) -> None:
    async with open_server(200) as server:
        await post(f"http://127.0.0.1:{server.port}{path}", {}, b"{}", seconds=5)

    wanted = path if path.startswith("/") else f"/{path}"
    assert server.received[0].line == f"POST {wanted} HTTP/1.1"


async def test_a_webhook_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_server(200) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert await post("http://no-host.invalid/", {}, b"{}", seconds=5) is None

    assert proxy.received == []


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 " + b"x" * 10**6, b""]
)
async def test_what_is_no_answer_has_no_status(answer: bytes) -> None:
    async with open_server(answer) as server:
        assert await post(server.url, {}, b"{}", seconds=5) is None


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://127.0.0.1/", "http://[::1", "http://127.0.0.1:x/"]
)
async def test_what_is_no_url_gets_no_webhook(url: str) -> None:
    assert await post(url, {}, b"{}", seconds=5) is None


@pytest.mark.parametrize("url", ["https://127.0.0.1:9/", "http://[::1]:9/?q"])
async def test_nobody_answers_where_nobody_listens(url: str) -> None:
    assert await post(url, {}, b"", seconds=5) is None
