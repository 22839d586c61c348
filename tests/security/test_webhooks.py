import base64
from collections.abc import Mapping

import pytest

from llamakeep.errors import SignatureInvalid
from llamakeep.settings.values import WEBHOOK_SECRET
from llamakeep.webhooks.signing import (
    TOLERANCE,
    is_signed,
    key_of,
    new_secret,
    read_stamp,
    signed_headers,
)
from replicate_emulator.webhooks import signature

NOW = 1_614_265_330
BODY = b'{"test": 2432232314}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_bGxhbWFrZWVwLWVtdWxhdG9yLXNlY3JldA=="
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(NOW),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
"""The example that the makers of Standard Webhooks publish."""


def is_accepted(
    *, body: bytes = BODY, secret: str = SECRET, now: float = NOW, **changes: str
) -> bool:
    headers = HEADERS | {
        f"webhook-{name}": value for name, value in changes.items() if value
    }
    return is_signed(read_stamp(headers, now=now), body, secret)


def test_the_published_example_is_signed() -> None:
    assert is_accepted()


def test_one_of_several_signatures_is_enough() -> None:
    fitting = HEADERS["webhook-signature"]
    another = signature(OTHER_SECRET, HEADERS["webhook-id"], NOW, BODY)

    assert is_accepted(signature=f"{another} v2,abc {fitting}")
    assert is_accepted(signature=f"v1,%% {fitting} {another}")
    assert not is_accepted(signature=another)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": BODY + b" "},
        {"body": b""},
        {"id": "msg_another"},
        {"timestamp": str(NOW + 1)},
        {"secret": OTHER_SECRET},
        {"signature": "v1," + base64.b64encode(bytes(32)).decode()},
        {"signature": "v1,"},
        {"signature": HEADERS["webhook-signature"][:-4]},
    ],
)
def test_whatever_is_changed_the_signature_does_not_fit(
    changes: dict[str, str],
) -> None:
    assert not is_accepted(**changes)  # type: ignore[arg-type] # one of them is bytes


@pytest.mark.parametrize("off", [-TOLERANCE, 0.5, TOLERANCE])
def test_clocks_may_be_five_minutes_apart(off: float) -> None:
    assert is_accepted(now=NOW + off)


@pytest.mark.parametrize("off", [-TOLERANCE - 1, TOLERANCE + 1, 1e9])
def test_what_was_signed_at_another_time_is_refused(off: float) -> None:
    with pytest.raises(SignatureInvalid, match="300 seconds"):
        is_accepted(now=NOW + off)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_every_header_is_needed(name: str, how: str) -> None:
    headers: Mapping[str, str] = {
        key: value for key, value in HEADERS.items() if key != name
    } | ({} if how == "missing" else {name: ""})

    with pytest.raises(SignatureInvalid, match=name):
        read_stamp(headers, now=NOW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "two words"),
        ("id", "\xe9"),
        ("id", "x" * 256),
        ("timestamp", "soon"),
        ("timestamp", f"-{NOW}"),
        ("timestamp", f"{NOW}.0"),
        ("timestamp", "\u0661"),
        ("timestamp", "9" * 5000),
        ("signature", "v2,abc"),
        ("signature", "v1,\xe9"),
        ("signature", "v1,a"),
        ("signature", "g0hM9SsE"),
    ],
)
def test_headers_that_nobody_sends_are_refused(name: str, value: str) -> None:
    with pytest.raises(SignatureInvalid, match=f"webhook-{name}"):
        is_accepted(**{name: value})  # type: ignore[arg-type] # mypy thinks of `now`


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%", "MfKQ", "whsec_abc"])
def test_what_cannot_be_a_secret_is_a_mistake_of_ours(secret: str) -> None:
    with pytest.raises(ValueError, match="standard base64"):
        key_of(secret)


def test_what_we_sign_is_signed_like_the_published_example() -> None:
    headers = signed_headers(HEADERS["webhook-id"], BODY, [SECRET], now=NOW + 0.9)

    assert headers == HEADERS


def test_what_two_secrets_sign_is_accepted_by_whoever_knows_one() -> None:
    headers = signed_headers("msg_1", BODY, [SECRET, OTHER_SECRET], now=NOW)

    stamp = read_stamp(headers, now=NOW)
    assert is_signed(stamp, BODY, SECRET)
    assert is_signed(stamp, BODY, OTHER_SECRET)
    assert not is_signed(stamp, BODY, new_secret())


def test_a_new_secret_is_long_and_nobody_elses() -> None:
    one, another = new_secret(), new_secret()

    assert one != another
    assert len(key_of(one)) == 32
    assert WEBHOOK_SECRET.fullmatch(one)
