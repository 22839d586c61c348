"""How much one user may have in memory by reading slowly, or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from llamakeep.errors import TooManyReaders

MOST = 64 * 1024 * 1024
"""Characters that all answers to a user may hold which are being sent right now."""

SMALLEST = 64 * 1024
"""Characters that each of them counts for at least."""

EXPORT = 8 * 1024 * 1024
"""Characters that an export counts for, whatever it is reading."""


class Readers:
    """Counts, for each user, what is held by answers that are not read to their end."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._importing: set[str] = set()

    def begin_import(self, user_id: str) -> Callable[[], None]:
        """
        Note that a user imports long lines, and return what ends that.

        Raises:
            TooManyReaders: The user does so already.
        """
        if user_id in self._importing:
            raise TooManyReaders
        self._importing.add(user_id)
        return partial(self._importing.discard, user_id)

    def begin(self, user_id: str, length: int) -> Callable[[], None]:
        """
        Count an answer that holds so many characters, and return what ends that.

        Raises:
            TooManyReaders: The user has too many open; nothing is counted.
        """
        length = max(length, SMALLEST)
        held = self._held.get(user_id, 0)
        if held and held + length > MOST:
            raise TooManyReaders(
                "Too many of your exports, streams and long answers are open and not "
                "read to their end. Read one, or close it, and try again.",
                retry_after=1,
            )
        self._held[user_id] = held + length
        return partial(self._end, user_id, length)

    @contextmanager
    def beginning(self, user_id: str, length: int = 0) -> Iterator[Callable[[], None]]:
        """
        Count an answer like `begin`; no more if the context is left with an error.

        Raises:
            TooManyReaders: The user has too many open; nothing is counted.
        """
        end = self.begin(user_id, length)
        try:
            yield end
        except BaseException:
            end()
            raise

    def _end(self, user_id: str, length: int) -> None:
        left = self._held[user_id] - length
        if left:
            self._held[user_id] = left
        else:
            del self._held[user_id]
