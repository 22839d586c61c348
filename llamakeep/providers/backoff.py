"""Pauses between two looks at an answer that an upstream keeps, and their end."""

from time import monotonic

from llamakeep.errors import AnswerExpired, ProviderError

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
PAUSE_GROWTH = 1.5
UNKNOWN_FOR = 30.0
"""Seconds for which an answer that exists may be unknown to some of the servers."""


class Backoff:
    """
    Says how long to wait until the next look, and when to give up.

    Args:
        patience: Seconds for which the upstream may be out of reach.
        known_within: Seconds for which it may not know the answer.
        at_once: Whether the first look waits for nothing.
    """

    def __init__(
        self, *, patience: float, known_within: float, at_once: bool = False
    ) -> None:
        self._patience = patience
        self._known_within = min(UNKNOWN_FOR, known_within)
        self._pause = 0.0 if at_once else FIRST_PAUSE
        self._trouble_since: float | None = None
        self._is_unknown = False
        """Whether that trouble is that the upstream does not know the answer."""

    def next_pause(self) -> float:
        """Return the seconds until the next look; each pause is longer."""
        pause = self._pause
        longer = max(FIRST_PAUSE, pause * PAUSE_GROWTH)
        self._pause = min(longer, LONGEST_PAUSE)
        return pause

    def grown(self) -> None:
        """Look often again: there was news."""
        self._pause = FIRST_PAUSE

    def reached(self) -> None:
        """Take note that the upstream knows the answer."""
        self._trouble_since = None

    def pause_after(self, error: ProviderError) -> float:
        """
        Return the seconds to wait after a failure.

        Raises:
            ProviderError: `error`, when there were too many for too long.
        """
        is_unknown = isinstance(error, AnswerExpired)
        now = monotonic()
        if self._trouble_since is None or self._is_unknown != is_unknown:
            self._trouble_since, self._is_unknown = now, is_unknown
        limit = self._known_within if is_unknown else self._patience
        if now - self._trouble_since > limit:
            error.answer_may_exist = not is_unknown
            raise error
        return max(self.next_pause(), error.retry_after or 0)
