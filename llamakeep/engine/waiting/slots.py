"""How many runs are worked on at the same time, and whose turn it is."""

from asyncio import CancelledError, Future, get_running_loop
from collections import OrderedDict


class Slots:
    """
    What runs wait for: first in, first out within a user, and users take turns.

    However many runs of one user wait, another one's first run waits for at most one
    turn of each user who waits.
    """

    def __init__(self, number: int) -> None:
        self.free = number
        """How many may be taken; below 0 if there were more before `resize`."""
        self._number = number
        self.lines: OrderedDict[str, OrderedDict[Future[None], None]] = OrderedDict()
        """Who waits; whose turn is next comes first. While one is free, it is empty."""
        self._waiting: dict[str, int] = {}

    def waiting(self, user_id: str) -> int:
        """Return how many runs of a user have entered and have not left."""
        return self._waiting.get(user_id, 0)

    def enter(self, user_id: str) -> None:
        """Count a run among those that wait, for a slot or for their provider."""
        self._waiting[user_id] = self._waiting.get(user_id, 0) + 1

    def leave(self, user_id: str) -> None:
        """Count a run no more: it has a slot, or has ended."""
        waiting = self._waiting[user_id] - 1
        if waiting:
            self._waiting[user_id] = waiting
        else:
            del self._waiting[user_id]

    def take(self) -> None:
        """Take one at once; there has to be a free one."""
        assert self.free > 0
        self.free -= 1

    async def wait(self, user_id: str) -> None:
        """Take one when it is the turn of a run of that user."""
        if self.free > 0:
            self.free -= 1
            return
        turn = get_running_loop().create_future()
        self.lines.setdefault(user_id, OrderedDict())[turn] = None
        try:
            await turn
        except CancelledError:
            if turn.cancelled():
                self._step_out(user_id, turn)
            else:  # it came at the same moment
                self.release()
            raise

    def release(self) -> None:
        """Give one back, to the run whose turn it is."""
        self.free += 1
        if self.lines:
            self._hand_out()

    def resize(self, number: int) -> None:
        """Have another number of them; those that are taken are given back as usual."""
        self.free += number - self._number
        self._number = number
        self._hand_out()

    def _hand_out(self) -> None:
        while self.free > 0 and self.lines:
            user_id, line = next(iter(self.lines.items()))
            turn, _ = line.popitem(last=False)
            if line:
                self.lines.move_to_end(user_id)
            else:
                del self.lines[user_id]
            if not turn.done():  # else it was canceled, and could not step out yet
                self.free -= 1
                turn.set_result(None)

    def _step_out(self, user_id: str, turn: Future[None]) -> None:
        line = self.lines.get(user_id)
        if line is not None and turn in line:
            del line[turn]
            if not line:
                del self.lines[user_id]
