"""Hashing and checking passwords, with a bound on what it may cost at once."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from llamakeep.errors import FieldError, InvalidRequest, ServerBusy

T = TypeVar("T")

SHORTEST = 8
LONGEST = 1024

# OWASP's second choice: 19 MiB and about 30 ms. The library's own default takes 64 MiB
# and four threads, which a handful of parallel logins turns into an outage.
HASHER = PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)


def check_password_rules(password: str) -> None:
    """
    Refuse a password that is too short or too long to be set.

    Raises:
        InvalidRequest: It says which rule is broken.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        message = f"A password has {SHORTEST} to {LONGEST} characters."
        raise InvalidRequest(errors=[FieldError("password", message)])


def hash_password(password: str) -> str:
    """Hash `password`, blocking the caller; the rules are not looked at."""
    return HASHER.hash(_encoded(password))


class Passwords:
    """
    Hashes and checks passwords in at most `slots` threads, in order of arrival.

    The threads themselves are the bound: a caller who gives up while its password is
    being hashed does not make room for another hash before this one is done.

    Args:
        slots: How many passwords are worked on at the same time.
        max_waiting: How many more may wait for that.
        hasher: What one piece of work is; a cheap one makes tests fast.
    """

    def __init__(
        self, slots: int, *, max_waiting: int = 64, hasher: PasswordHasher = HASHER
    ) -> None:
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="password")
        self._room = slots + max_waiting
        self._hasher = hasher
        # Costs as much to check as a real one; nobody knows a password that fits.
        self._nobody = (
            f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},"
            f"p={hasher.parallelism}${'A' * 22}${'A' * 43}"
        )

    async def hash(self, password: str) -> str:
        """
        Return what to store for `password`; the rules are not looked at.

        Raises:
            ServerBusy: Too many others are waiting.
        """
        return await self._in_a_slot(lambda: self._hasher.hash(_encoded(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """
        Return whether `password` is the one that `password_hash` was made of.

        Args:
            password_hash: `None` for an unknown user, or one without a password; saying
                no to that takes as long as saying no to a wrong password.
            password: What somebody typed; it need not follow the rules.

        Raises:
            ServerBusy: Too many others are waiting.
        """
        if len(password) > LONGEST:
            password_hash, password = None, ""
        return await self._in_a_slot(lambda: self._fits(password_hash, password))

    def needs_rehash(self, password_hash: str) -> bool:
        """Return whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    async def close(self) -> None:
        """Wait for what is being worked on, and end the threads."""
        await asyncio.to_thread(self._threads.shutdown)

    def _fits(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobody, _encoded(password))
        except VerifyMismatchError:
            return False
        return password_hash is not None

    async def _in_a_slot(self, work: Callable[[], T]) -> T:
        if not self._room:
            raise ServerBusy(
                "Too many logins are waiting. Try again in a moment.",
                retry_after=1,
            )
        self._room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._room += 1


def _encoded(password: str) -> bytes:
    """Make the same bytes of it on every keyboard, and never fail."""
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")
