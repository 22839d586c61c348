"""How many runs a process works on at the same time, and whose turn it is."""

from asyncio import CancelledError, Future, get_running_loop
from collections import OrderedDict


class Slots:
    """
    What runs wait for: first in, first out within a user, and users take turns.

    However many runs of one user wait, somebody else's first one waits for at most one
    turn of each user who waits.

    Args:
        number: How many there are.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        # Whose turn is next comes first; while one is free, nobody is in line.
        self._lines: OrderedDict[str, OrderedDict[Future[None], None]] = OrderedDict()
        self._waiting: dict[str, int] = {}

    @property
    def has_free(self) -> bool:
        """Whether one can be taken at once."""
        return self._free > 0

    def waiting(self, user_id: str) -> int:
        """Return how many runs of a user have none, whatever they wait for."""
        return self._waiting.get(user_id, 0)

    def enter(self, user_id: str) -> None:
        """Count a run among those that wait."""
        self._waiting[user_id] = self._waiting.get(user_id, 0) + 1

    def leave(self, user_id: str) -> None:
        """Count a run no more."""
        waiting = self._waiting[user_id] - 1
        if waiting:
            self._waiting[user_id] = waiting
        else:
            del self._waiting[user_id]

    def take(self, user_id: str) -> None:
        """Take one for a run that waits; there has to be a free one."""
        assert self._free > 0
        self._free -= 1
        self.leave(user_id)

    async def wait(self, user_id: str) -> None:
        """Take one for a run that waits, when it is its turn."""
        if self.has_free:
            self.take(user_id)
            return
        turn = get_running_loop().create_future()
        self._lines.setdefault(user_id, OrderedDict())[turn] = None
        try:
            await turn
        except CancelledError:
            if turn.cancelled():
                self._step_out(user_id, turn)
            else:  # it came at the same moment
                self._pass_on()
            raise
        self.leave(user_id)

    def give_back(self, user_id: str) -> None:
        """Let whose turn it is have a run's slot; the run waits again."""
        self.enter(user_id)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._lines:
            user_id, line = next(iter(self._lines.items()))
            turn, _ = line.popitem(last=False)
            if line:
                self._lines.move_to_end(user_id)
            else:
                del self._lines[user_id]
            if not turn.done():  # else it was canceled, and could not step out yet
                turn.set_result(None)
                return
        self._free += 1

    def _step_out(self, user_id: str, turn: Future[None]) -> None:
        line = self._lines.get(user_id)
        if line is not None and turn in line:
            del line[turn]
            if not line:
                del self._lines[user_id]


class Slot:
    """
    One run's, which it has while it is being worked on: `async with slot`.

    It may be taken before. It can be entered again until the run leaves for good.

    Args:
        slots: All that there are.
        user_id: Whose run it is.
    """

    def __init__(self, slots: Slots, user_id: str) -> None:
        self._slots = slots
        self._user_id = user_id
        self._is_taken = False
        slots.enter(user_id)

    def take(self) -> None:
        """Take it at once; there has to be a free one."""
        self._slots.take(self._user_id)
        self._is_taken = True

    def leave(self) -> None:
        """Neither have it nor wait for it any more."""
        self._give_back()
        self._slots.leave(self._user_id)

    async def __aenter__(self) -> None:
        if not self._is_taken:
            await self._slots.wait(self._user_id)
            self._is_taken = True

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        if self._is_taken:
            self._is_taken = False
            self._slots.give_back(self._user_id)
