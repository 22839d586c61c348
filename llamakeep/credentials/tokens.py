"""
Opaque tokens: API keys, access tokens, set-up, reset and invitation tokens.

A token has a prefix (`lk_` for API keys, `lka_` for access tokens, `lks_` for set-up,
`lkr_` for reset and `lki_` for invitation tokens, `lkc_` for login codes), then 256
random bits as 43 characters, then a checksum of all that as 6 characters. The checksum
is no protection: it refuses typing errors and garbage without a database query, and
lets scanners recognise leaked tokens.
"""

import binascii
import hashlib
import re
import secrets
import string
from datetime import timedelta

RESET_LIFETIME = timedelta(hours=1)
"""How long a reset token is valid."""

_API_KEY, _ACCESS_TOKEN, _SETUP_TOKEN, _RESET_TOKEN = "lk_", "lka_", "lks_", "lkr_"
_INVITATION_TOKEN, _LOGIN_CODE = "lki_", "lkc_"
_PREFIXES = (
    _API_KEY,
    _ACCESS_TOKEN,
    _SETUP_TOKEN,
    _RESET_TOKEN,
    _INVITATION_TOKEN,
    _LOGIN_CODE,
)
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH = 43  # 62 ** 43 is just above 2 ** 256
_CHECKSUM_LENGTH = 6  # 62 ** 6 is above 2 ** 32
_FORM = re.compile(
    rf"((?:{'|'.join(_PREFIXES)})"
    rf"[0-9A-Za-z]{{{_SECRET_LENGTH}}})"
    rf"([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)


def new_access_token() -> str:
    """Return a new access token, which a login returns."""
    return _new(_ACCESS_TOKEN)


def new_api_key() -> str:
    """Return the secret of a new API key."""
    return _new(_API_KEY)


def new_setup_token() -> str:
    """Return a new token that creates the first administrator."""
    return _new(_SETUP_TOKEN)


def new_reset_token() -> str:
    """Return a new token that sets a user's password once."""
    return _new(_RESET_TOKEN)


def new_invitation_token() -> str:
    """Return a new token with which a person makes an account, once."""
    return _new(_INVITATION_TOKEN)


def new_login_code() -> str:
    """Return a new code with which a command line is logged in, once."""
    return _new(_LOGIN_CODE)


def is_login_code(value: str) -> bool:
    """Return whether a text is a whole login code."""
    return value.startswith(_LOGIN_CODE) and is_well_formed(value)


def is_api_key(value: str) -> bool:
    """Return whether a well-formed token is an API key's."""
    return value.startswith(_API_KEY)


def is_well_formed(value: object) -> bool:
    """Return whether `value` has a token's format and checksum, in constant time."""
    if not isinstance(value, str) or (match := _FORM.fullmatch(value)) is None:
        return False
    body, checksum = match.groups()
    return _checksum(body) == checksum


def digest(value: str) -> bytes:
    """
    Return the SHA-256 digest under which a token is stored.

    Unlike passwords, 256 random bits need no slow hash.
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
