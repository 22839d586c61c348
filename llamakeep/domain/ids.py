"""Ids that sort by time, and the time."""

import secrets
import threading
import time
from datetime import UTC, datetime
from hashlib import sha256

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Ten bits at a time, for speed: ids are made on the hot path.
_PAIRS = [one + other for one in _ALPHABET for other in _ALPHABET]
_PYTHONS_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTH = 26
"""Characters of an id without its prefix."""
_GAP = 64
"""Random bits between an id and the next, as two servers may make one at once."""
_id_lock = threading.Lock()
_last_id = 0


def new_id(prefix: str, *, at: datetime | None = None) -> str:
    """
    Return a new id that sorts after every id this process made before.

    With `at`, it sorts by that moment instead, and at random within its millisecond.

    It is a ULID in lower case: 48 bits of milliseconds, then 80 random bits, which grow
    by one within the same millisecond (https://github.com/ulid/spec).
    """
    global _last_id  # noqa: PLW0603 - the sequence is the process's own
    now = time.time_ns() // 1_000_000 if at is None else int(at.timestamp() * 1000)
    value = now << 80 | secrets.randbits(80)
    if at is None:
        with _id_lock:
            if now <= _last_id >> 80:
                value = _last_id + 1
            _last_id = value
    return _written(prefix, value)


def derived_id(prefix: str, secret: bytes) -> str:
    """Return the id of what is named by a secret alone, which the id does not tell."""
    digest = sha256(prefix.encode() + secret).digest()
    return _written(prefix, int.from_bytes(digest[:16]))


def first_id(prefix: str, moment: datetime) -> str:
    """Return the lowest id that something of that millisecond can have."""
    return new_id(prefix, at=max(moment, _EPOCH))[:-16] + 16 * "0"


def later_id(new: str, than: str | None) -> str:
    """Return `new`, or an id right after `than` if `new` sorts before it."""
    if than is None or new > than:
        return new
    value = number_of(than) + 1 + secrets.randbits(_GAP)
    return _written(new[:-_LENGTH], min(value, (1 << 128) - 1))


def number_of(id_: str) -> int:
    """Return the 128 bits of an id, whatever its prefix is."""
    return int(id_[-_LENGTH:].translate(_PYTHONS_DIGITS), 32)


def _written(prefix: str, value: int) -> str:
    return prefix + "".join([_PAIRS[value >> s & 1023] for s in range(120, -1, -10)])


def utc_now() -> datetime:
    """Return the current time, with its zone."""
    return datetime.now(UTC)
