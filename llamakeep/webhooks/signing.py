"""
Signing webhooks, and whether one is from whom it says: the rules of Standard Webhooks.

They are at https://github.com/standard-webhooks/standard-webhooks.
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
"""How many seconds a webhook's time may be off, either way."""

_PREFIX = "whsec_"
_KEY_LENGTH = 32
_ID = re.compile(r"[!-~]{1,255}")
_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a webhook's headers say about it."""

    id: str
    """The same when it is sent again."""
    timestamp: str
    signatures: Sequence[bytes]


def read_stamp(headers: Mapping[str, str], *, now: float) -> Stamp:
    """
    Return what the headers say, before anything of the body was read.

    Args:
        headers: Their names are in lower case, or looked up in any.
        now: Seconds since 1970.

    Raises:
        SignatureInvalid: They cannot be those of a webhook that was sent just now.
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
    """Return whether whoever knows `secret` has signed `body` with this stamp."""
    signed = f"{stamp.id}.{stamp.timestamp}.".encode() + body
    expected = hmac.digest(key_of(secret), signed, hashlib.sha256)
    # All of them, so that the time does not tell which one fits.
    return any([hmac.compare_digest(expected, each) for each in stamp.signatures])  # noqa: C419 - a generator would stop at the first


def signed_headers(
    message_id: str, body: bytes, known: Sequence[str], *, now: float
) -> dict[str, str]:
    """
    Return the headers that prove that `body` is from whoever knows the secrets.

    Args:
        message_id: The same when it is sent again.
        body: What is sent, byte for byte.
        known: The secrets; each makes a signature.
        now: Seconds since 1970.
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
    """Return a secret that nobody knows yet."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_LENGTH)).decode()


def key_of(secret: str) -> bytes:
    """
    Return the key that a secret as Replicate shows it stands for.

    Raises:
        ValueError: It is no such secret.
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
