import asyncio
import socket
import ssl
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from llamakeep.http import tls as http_tls
from llamakeep.http.names import look_up
from llamakeep.webhooks.addresses import Address, Guard
from llamakeep.webhooks.posting import LONGEST_ANSWER, Outcome, Poster
from tests.certificates import context_of, make_certificate
from tests.receiving import open_receiver
from tests.waiting import LONG_ENOUGH

LOOPBACK = Guard([ip_network("127.0.0.0/8")])
BODY = b'{"a": 1}'


class Names:
    """Knows names; each look-up gives the next answer, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = answers
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        assert (host, port) != ("", 0)
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [ip_address(each) for each in answer]


async def post(url: str, *, seconds: float = 5) -> Outcome:
    poster = Poster(LOOPBACK)
    return await poster.post(url, {"webhook-id": "msg_1"}, BODY, seconds=seconds)


async def test_a_webhook_arrives_as_it_was_sent() -> None:
    async with open_receiver(204) as receiver:
        outcome = await post(receiver.url)

    assert outcome == Outcome(204)
    assert outcome.is_delivered
    [one] = receiver.received
    assert one.line == "POST /hook?run=1 HTTP/1.1"
    assert one.raw == BODY
    assert one.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "user-agent": "llamakeep",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(BODY)),
        "connection": "close",
        "webhook-id": "msg_1",
    }


@pytest.mark.parametrize("status", [300, 302, 307, 308, 400, 404, 410, 500, 503])
async def test_whatever_is_no_success_is_told_as_it_was_answered(status: int) -> None:
    async with open_receiver(status) as receiver:
        outcome = await post(receiver.url)

    assert outcome == Outcome(status)
    assert not outcome.is_delivered


async def test_a_redirect_is_not_followed() -> None:
    async with open_receiver() as elsewhere:
        there = f"HTTP/1.1 307 There\r\nlocation: {elsewhere.url}\r\n\r\n".encode()
        async with open_receiver(there) as receiver:
            outcome = await post(receiver.url)

    assert outcome.status == 307
    assert elsewhere.received == []


async def test_a_proxy_of_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async with open_receiver() as receiver:
        outcome = await post(receiver.url)

    assert outcome.is_delivered


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("soon", None)],
)
async def test_a_receiver_may_say_when_to_try_again(
    header: str, seconds: float | None
) -> None:
    answer = f"HTTP/1.1 503 Busy\r\nRetry-After: {header}\r\n\r\n".encode()

    async with open_receiver(answer) as receiver:
        outcome = await post(receiver.url)

    assert outcome == Outcome(503, retry_after=seconds)


async def test_a_receiver_may_say_first_that_it_goes_on() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"

    async with open_receiver(answer) as receiver:
        outcome = await post(receiver.url)

    assert outcome == Outcome(200)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (b"", "The receiver cannot be reached, or broke off."),
        (b"HTTP/1.1 20", "The receiver cannot be reached, or broke off."),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "The receiver does not speak proper HTTP."),
        *(
            (head + b"\r\n\r\n", "The receiver does not speak proper HTTP.")
            for head in (
                b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c",
                b"HTTP/1.1 101 Switching",
                b"HTTP/1.1 000 Zero",
                b"HTTP/1.1 2000 Many",
                b"HTTP/0.9",
                b"HTTP/1.1 200 OK\r\ncontent-length: -1",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip",
                b"\0\0\x12\x04\0\0\0\0\0",  # HTTP/2's first frame
                b"\x16\x03\x01",  # TLS
            )
        ),
        (
            b"HTTP/1.1 103 Hint\r\n\r\n" * 10_000,
            "The receiver does not speak proper HTTP.",
        ),
        (
            b"HTTP/1.1 200 OK\r\nx: " + 100_000 * b"y",
            "The receiver does not speak proper HTTP.",
        ),
    ],
)
async def test_what_is_no_answer_is_trouble(answer: bytes, trouble: str) -> None:
    async with open_receiver(answer) as receiver:
        outcome = await post(receiver.url)

    assert outcome == Outcome(trouble=trouble)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("9" * 400, None),
        ("-7", None),
        ("7.5", None),
        ("soon", None),
        ("\xb2", None),
        ("Mon, 20 Nov 99999999999999999999 10:00:00 GMT", None),
        ("Mon, 20 Nov 9999 10:00:00 -9999", None),
        ("Mon, 20 Nov 1995 10:00:00 GMT", 0),
    ],
)
async def test_the_time_that_a_receiver_asks_for_is_read_or_ignored(
    value: str, seconds: float | None
) -> None:
    answer = f"HTTP/1.1 503 Later\r\nretry-after: {value}\r\n\r\n".encode("latin-1")
    async with open_receiver(answer) as receiver:
        outcome = await post(receiver.url)

    assert outcome == Outcome(503, retry_after=seconds)


async def test_what_follows_the_head_of_an_answer_changes_nothing() -> None:
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+5\r\nhello"
    async with open_receiver(answer) as receiver:
        outcome = await post(receiver.url)

    assert outcome == Outcome(200)


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n"

    async with open_receiver(asyncio.Event()) as receiver:
        receiver.opening = head + LONGEST_ANSWER * b"x"  # the rest never comes
        async with asyncio.timeout(LONG_ENOUGH):
            outcome = await post(receiver.url, seconds=3600)

    assert outcome == Outcome(200)
    assert LONGEST_ANSWER == 65536


async def test_a_receiver_that_says_nothing_is_given_up() -> None:
    async with open_receiver(asyncio.Event()) as receiver:
        outcome = await post(receiver.url, seconds=0.1)

    assert outcome == Outcome(trouble="The receiver did not answer within 0.1 seconds.")


async def test_a_receiver_that_never_ends_its_answer_has_answered() -> None:
    async with open_receiver(asyncio.Event()) as receiver:
        receiver.opening = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
        outcome = await post(receiver.url, seconds=0.2)

    assert outcome == Outcome(200)


async def test_a_port_where_nobody_listens_is_trouble() -> None:
    async with open_receiver() as receiver:
        url = receiver.url

    outcome = await post(url)

    assert outcome == Outcome(trouble="The receiver cannot be reached, or broke off.")


async def test_a_url_that_may_not_be_sent_to_is_not_connected_to() -> None:
    async with open_receiver() as receiver:
        outcome = await Poster(Guard()).post(receiver.url, {}, BODY, seconds=5)

    assert receiver.received == []
    assert outcome.trouble == (
        "Send a URL that begins with https:// and names no port."
    )


async def test_a_name_is_looked_up_once_and_connected_to_where_it_led() -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])

    async with open_receiver() as receiver:
        url = f"http://receiver.example:{receiver.port}/"
        outcome = await Poster(LOOPBACK, resolve=names).post(url, {}, BODY, seconds=5)

    assert outcome.is_delivered
    assert names.asked == 1
    assert receiver.received[0].headers["host"] == f"receiver.example:{receiver.port}"


async def test_a_name_that_leads_elsewhere_the_second_time_is_looked_at_again() -> None:
    """DNS rebinding: public when it is checked, inside when it is connected to."""
    guard = Guard([ip_network("127.0.0.1/32")])
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    poster = Poster(guard, resolve=names)

    async with open_receiver() as receiver:
        url = f"http://rebound.example:{receiver.port}/"
        outcomes = [await poster.post(url, {}, BODY, seconds=5) for _ in range(2)]

    assert [outcome.is_delivered for outcome in outcomes] == [True, False]
    assert outcomes[1].trouble == (
        "The host has no address that webhooks may be sent to."
    )


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "10.0.0.1"]
)
async def test_a_public_name_of_a_private_address_is_not_connected_to(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(*_: object, **__: object) -> None:
        raise AssertionError("it must not even be tried")

    monkeypatch.setattr(asyncio, "open_connection", connect)
    poster = Poster(Guard(), resolve=Names([address]))

    outcome = await poster.post("https://example.com/", {}, BODY, seconds=5)

    assert outcome.trouble == "The host has no address that webhooks may be sent to."


async def test_of_several_addresses_only_the_allowed_ones_are_used() -> None:
    names = Names(["10.0.0.1", "127.0.0.1", "::1"])

    async with open_receiver() as receiver:
        url = f"http://receiver.example:{receiver.port}/"
        outcome = await Poster(LOOPBACK, resolve=names).post(url, {}, BODY, seconds=5)

    assert outcome.is_delivered


async def test_the_next_address_is_tried_when_one_is_dead() -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])

    async with open_receiver() as receiver:
        url = f"http://receiver.example:{receiver.port}/"
        outcome = await Poster(LOOPBACK, resolve=names).post(url, {}, BODY, seconds=5)

    assert outcome.is_delivered


async def test_a_name_that_there_is_not_looks_like_a_private_one() -> None:
    async def fail(host: str, port: int) -> Sequence[Address]:
        raise socket.gaierror(f"{host}:{port}")

    poster = Poster(Guard(), resolve=fail)

    outcome = await poster.post("https://example.com/", {}, BODY, seconds=5)

    assert outcome.trouble == "The host has no address that webhooks may be sent to."


async def test_names_are_looked_up_by_the_system() -> None:
    assert ip_address("127.0.0.1") in await look_up("localhost", 80)
    assert await look_up("8.8.8.8", 80) == [ip_address("8.8.8.8")]
    with pytest.raises(socket.gaierror):
        await look_up(f"{64 * 'a'}.example", 80)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    return make_certificate(folder, "DNS:receiver.example")


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("receiver.example", Outcome(200)),
        (
            "other.example",
            Outcome(trouble="The receiver's certificate is not valid for its name."),
        ),
    ],
)
async def test_a_receiver_has_to_prove_its_name(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str, outcome: Outcome
) -> None:
    tls = await asyncio.to_thread(context_of, certificate)
    asked_for: list[str | None] = []
    tls.sni_callback = lambda _socket, wanted, _context: asked_for.append(wanted)
    trusting = await asyncio.to_thread(
        ssl.create_default_context, cafile=str(certificate)
    )
    monkeypatch.setattr(http_tls, "_known", trusting)
    poster = Poster(LOOPBACK, resolve=Names(["127.0.0.1"]))

    async with open_receiver(tls=tls) as receiver:
        url = f"https://{name}:{receiver.port}/"
        found = await poster.post(url, {}, BODY, seconds=5)

    assert found == outcome
    assert asked_for == [name]


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    certificate: Path,
) -> None:
    tls = await asyncio.to_thread(context_of, certificate)
    poster = Poster(LOOPBACK, resolve=Names(["127.0.0.1"]))

    async with open_receiver(tls=tls) as receiver:
        url = f"https://receiver.example:{receiver.port}/"
        outcome = await poster.post(url, {}, BODY, seconds=5)

    assert receiver.received == []
    assert outcome.trouble == "The receiver's certificate is not valid for its name."
