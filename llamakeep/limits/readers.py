"""A limit on the memory that each user's unread responses may take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from llamakeep.errors import TooManyReaders

MOST = 64 * 1024 * 1024
"""Characters that the open responses of one user may hold in memory together."""

SMALLEST = 64 * 1024
"""Characters that a response counts for at least."""

EXPORT = 8 * 1024 * 1024
"""Characters that an export counts for."""


class Readers:
    """Counts the characters that each user's open responses hold in memory."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._importing: set[str] = set()

    def begin_import(self, user_id: str) -> Callable[[], None]:
        """
        Register an import with long lines; return the function that unregisters it.

        Raises:
            TooManyReaders: The user has another one.
        """
        if user_id in self._importing:
            raise TooManyReaders
        self._importing.add(user_id)
        return partial(self._importing.discard, user_id)

    def begin(self, user_id: str, length: int) -> Callable[[], None]:
        """
        Count a response of `length` characters; return the function that undoes that.

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
        Count a response like `begin`, and undo that if the context raises.

        Raises:
            TooManyReaders: As `begin`.
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
