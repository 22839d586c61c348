"""
The secrets we hand out: opaque, recognisable, and stored only as a digest.

`lk_` for API keys, `lka_` for the access tokens of logins, `lks_` and `lkr_` for tokens
that set a server up or reset a password once; then 256 random bits as 43 characters,
and a checksum of all that as 6 characters. The checksum keeps no attacker out: it
spares the database typing errors and garbage, and lets scanners of leaked secrets be
sure of what they found.
"""

import binascii
import hashlib
import re
import secrets
import string
from datetime import timedelta

RESET_LIFETIME = timedelta(hours=1)
"""How long a token that resets a password is valid."""

_API_KEY, _ACCESS_TOKEN, _SETUP_TOKEN, _RESET_TOKEN = "lk_", "lka_", "lks_", "lkr_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH = 43  # 62 ** 43 is just above 2 ** 256
_CHECKSUM_LENGTH = 6  # 62 ** 6 is above 2 ** 32
_FORM = re.compile(
    rf"((?:{_API_KEY}|{_ACCESS_TOKEN}|{_SETUP_TOKEN}|{_RESET_TOKEN})"
    rf"[0-9A-Za-z]{{{_SECRET_LENGTH}}})"
    rf"([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)


def new_access_token() -> str:
    """Return a secret for a login, that was never handed out before."""
    return _new(_ACCESS_TOKEN)


def new_api_key() -> str:
    """Return a secret for a program, that was never handed out before."""
    return _new(_API_KEY)


def new_setup_token() -> str:
    """Return a secret for the first administrator, that was never handed out before."""
    return _new(_SETUP_TOKEN)


def new_reset_token() -> str:
    """Return a secret for a new password, that was never handed out before."""
    return _new(_RESET_TOKEN)


def is_api_key(value: str) -> bool:
    """Return whether a well-formed secret is for a program."""
    return value.startswith(_API_KEY)


def is_well_formed(value: object) -> bool:
    """Return whether `value` could be ours; the cost does not grow with its length."""
    if not isinstance(value, str) or (match := _FORM.fullmatch(value)) is None:
        return False
    body, checksum = match.groups()
    return _checksum(body) == checksum


def digest(value: str) -> bytes:
    """
    Return the 32 bytes by which a secret is stored and found.

    A fast hash is enough, unlike for passwords: 256 random bits cannot be guessed.
    """
    return hashlib.sha256(value.encode(errors="surrogatepass")).digest()


def _new(prefix: str) -> str:
    body = prefix + _base62(secrets.randbits(256), _SECRET_LENGTH)
    return body + _checksum(body)


def _checksum(body: str) -> str:
    return _base62(binascii.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
