"""Hashing and verifying passwords with Argon2, in a bounded number of threads."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from llamakeep.errors import InvalidRequest, ServerBusy

T = TypeVar("T")

SHORTEST = 8
LONGEST = 1024

# OWASP's second recommendation: 19 MiB and about 30 ms. The library's own default takes
# 64 MiB and four threads, with which a few parallel logins would stall the server.
HASHER = PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)


def check_password_rules(password: str) -> None:
    """
    Check the length of a new password.

    Raises:
        InvalidRequest: It is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidRequest.of(
            "password", f"A password has {SHORTEST} to {LONGEST} characters."
        )


def hash_password(password: str) -> str:
    """Hash `password` in the calling thread, without checking the rules."""
    return HASHER.hash(_encoded(password))


class Passwords:
    """
    Hashes and verifies passwords in at most `slots` threads, in order of arrival.

    The threads are the bound: if a request is canceled while its password is hashed,
    its thread is not free before the hash is done.
    """

    def __init__(
        self, slots: int, *, max_waiting: int = 64, hasher: PasswordHasher = HASHER
    ) -> None:
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="password")
        self._room = slots + max_waiting
        self._hasher = hasher
        # Verifying it takes as long as a real hash; it matches no known password.
        self._dummy_hash = (
            f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},"
            f"p={hasher.parallelism}${'A' * 22}${'A' * 43}"
        )

    async def hash(self, password: str) -> str:
        """
        Hash `password`, without checking the rules.

        Raises:
            ServerBusy: Too many requests are waiting.
        """
        return await self._in_a_slot(lambda: self._hasher.hash(_encoded(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """
        Return whether `password` matches `password_hash`.

        For an unknown user or one without a password, `password_hash` is `None`, which
        takes as long as a wrong password.

        Raises:
            ServerBusy: Too many requests are waiting.
        """
        if len(password) > LONGEST:
            password_hash, password = None, ""
        return await self._in_a_slot(lambda: self._fits(password_hash, password))

    def needs_rehash(self, password_hash: str) -> bool:
        """Return whether a hash has other parameters than the current ones."""
        return self._hasher.check_needs_rehash(password_hash)

    async def close(self) -> None:
        """Wait for pending hashes, and end the threads."""
        await asyncio.to_thread(self._threads.shutdown)

    def _fits(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._dummy_hash, _encoded(password))
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
    """Normalise, since keyboards and systems compose characters in different ways."""
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")
