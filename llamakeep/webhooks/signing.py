"""
Signing and verifying webhooks as Standard Webhooks specifies.

See https://github.com/standard-webhooks/standard-webhooks.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llamakeep.errors import SignatureInvalid

TOLERANCE = 300
"""How many seconds a webhook's timestamp may be off, either way."""

_PREFIX = "whsec_"
_KEY_LENGTH = 32
_ID = re.compile(r"[!-~]{1,255}")
_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """The id, timestamp and signatures in a webhook's headers."""

    id: str
    """The same at every try."""
    timestamp: str
    signatures: Sequence[bytes]


def read_stamp(headers: Mapping[str, str], *, now: float) -> Stamp:
    """
    Parse the headers of a webhook; the body need not be read before.

    Raises:
        SignatureInvalid: A header is missing, malformed or too old.
    """
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    signed = headers.get("webhook-signature", "")
    if not (message_id and timestamp and signed):
        raise SignatureInvalid(
            "A webhook has the headers webhook-id, webhook-timestamp and "
            "webhook-signature."
        )
    if not _ID.fullmatch(message_id):
        raise SignatureInvalid("The header webhook-id cannot be an id.")
    if not _SECONDS.fullmatch(timestamp) or abs(int(timestamp) - now) > TOLERANCE:
        raise SignatureInvalid(
            f"The header webhook-timestamp is not within {TOLERANCE} seconds of this "
            "server's clock."
        )
    signatures = [_decoded(value) for value in signed.split() if value[:3] == "v1,"]
    found = [each for each in signatures if each is not None]
    if not found:
        raise SignatureInvalid("The header webhook-signature has none of version 1.")
    return Stamp(message_id, timestamp, found)


def is_signed(stamp: Stamp, body: bytes, secret: str) -> bool:
    """Return whether one of the signatures is of `body` and `secret`."""
    signed = f"{stamp.id}.{stamp.timestamp}.".encode() + body
    expected = hmac.digest(key_of(secret), signed, hashlib.sha256)
    # All are compared, so that the time does not reveal which one matches.
    return any([hmac.compare_digest(expected, each) for each in stamp.signatures])  # noqa: C419 - a generator would stop at the first


def signed_headers(
    message_id: str, body: bytes, known: Sequence[str], *, now: float
) -> dict[str, str]:
    """
    Return the headers that sign a webhook.

    The same `message_id` is for every try; there is one signature for each secret.
    """
    signed = f"{message_id}.{int(now)}.".encode() + body
    digests = [hmac.digest(key_of(secret), signed, hashlib.sha256) for secret in known]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(digest).decode()}" for digest in digests
        ),
    }


def new_secret() -> str:
    """Return a new random secret."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_LENGTH)).decode()


def key_of(secret: str) -> bytes:
    """
    Decode a secret, which is `whsec_` and the key in base64.

    Raises:
        ValueError: It is malformed.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(_PREFIX) or not key:
        raise ValueError(f"a webhook secret is {_PREFIX} and standard base64")
    return key


def _decoded(value: str) -> bytes | None:
    try:
        return base64.b64decode(value[3:], validate=True)
    except (binascii.Error, ValueError):
        return None
