"""What one attempt at a run has received of its answer, beside what was kept before."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from llamakeep.domain import Item, Run, Text
from llamakeep.domain.messages import said_in
from llamakeep.domain.output import MARK, heads_of, items_of, tape_of
from llamakeep.engine.updates import PIECE, Delta, Position, Reset


class Attempt:
    """
    The growing tape of one attempt, compared with the tape of the one before.

    A reader who has some of an earlier attempt's answer continues where both agree. It
    is the part of a `LiveRun` that knows neither provider nor clients.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.length = 0
        """How many characters `tape` has."""
        self.is_answering = False
        """Whether the provider took the prompt; no refusal comes after that."""
        self.is_over = False
        self.is_released = False
        """It is over, and its text, which is long, is only in storage."""
        self._pieces: list[str] = []
        """What was received of the tape; each mark is a piece of its own."""
        self._heads: list[Item] = []
        """The items of the marks."""
        self._kept = tape_of(run.output, run.response) if run.output else run.response
        """The tape that is stored of the attempt before."""
        self._logprobs: list[tuple[int, str]] | None = None
        """How likely tokens were; each with the length of the tape that has them."""
        self._likely = ""
        """How likely the tokens of the next text are."""
        self._agreed = 0
        """How many characters both begin with."""
        self._is_resumed = run.handle is not None
        """Whether this attempt fetches the very answer that the one before received."""

    @property
    def tape(self) -> str:
        """What this attempt received so far; without other items, a text."""
        if len(self._pieces) > 1:
            return "".join(self._pieces)
        return self._pieces[0] if self._pieces else ""

    @property
    def heads(self) -> Sequence[Item]:
        """The items of the marks in `tape`, without their texts."""
        return self._heads

    @property
    def earlier_tape(self) -> str:
        """The tape that is stored of the attempt before."""
        return self._kept

    @property
    def is_resumed(self) -> bool:
        """Whether this attempt fetches the very answer that the one before received."""
        return self._is_resumed

    @property
    def is_repeating(self) -> bool:
        """Whether this attempt may still turn out to repeat an earlier one's text."""
        return self._agreed == self.length and self.length < len(self._kept)

    @property
    def is_worth_keeping(self) -> bool:
        """Whether there is text of this attempt that is not stored as an earlier's."""
        return bool(self._pieces) and not self.is_repeating

    def _begin(self, item: Item) -> None:
        if isinstance(item, Text) and (not self.length or self._is_in_text()):
            return  # it begins without a mark, or has begun
        place = len(self._heads)
        if self._agreed == self.length and self._kept.startswith(MARK, self.length):
            # Calls with other ids differ, whatever their arguments are.
            self._agreed += heads_of(self.run.output)[place] == item
        self._heads.append(item)
        self._pieces.append(MARK)
        self.length += 1
        self.is_answering = True

    def _is_in_text(self) -> bool:
        return not self._heads or isinstance(self._heads[-1], Text)

    def _said(self) -> tuple[str, Sequence[Item]]:
        """Return the text of this attempt, and all of its items."""
        output = items_of(self.tape, self._heads)
        return said_in(output), output

    def _whole(self) -> tuple[str, Sequence[Item]]:
        """Return what `_said` does, with how likely tokens were."""
        response, output = self._said() if self._heads else (self.tape, ())
        likely: list[Item] = []
        end = 0
        for item in output or (Text(response),):
            end += bool(likely) or not isinstance(item, Text)
            start, end = end, end + len(item.text)
            if isinstance(item, Text) and (said := self._likely_in(start, end)):
                item = replace(item, logprobs=f"[{said}]")  # noqa: PLW2901
            likely.append(item)
        return response, tuple(likely)

    def _likely_of(self, text: str, end: int) -> str:
        """Return how likely the tokens of a text were that ends there in the tape."""
        return self._likely_in(end - len(text), end)

    def _likely_in(self, start: int, end: int) -> str:
        """Return how likely the tokens of a part of the tape were."""
        marks = self._logprobs or ()
        begin = bisect_right(marks, start, key=itemgetter(0))
        stop = bisect_right(marks, end, key=itemgetter(0))
        return ",".join([said for _, said in marks[begin:stop]])

    def _next(self, seen: int) -> tuple[str, int]:
        """Return the text of some pieces that were not seen yet, and their end."""
        if seen + 1 == len(self._pieces):
            return self._pieces[seen], seen + 1
        begin, length = seen, 0
        while seen < len(self._pieces) and length < PIECE:
            if self._heads and self._pieces[seen] == MARK:
                seen = max(seen, begin + 1)  # it is alone
                break
            length += len(self._pieces[seen])
            seen += 1
        return "".join(self._pieces[begin:seen]), seen

    def _text_before(self, mark: int) -> str:
        """Return the text of the item that ends where a piece is a mark."""
        begin = mark
        while begin and self._pieces[begin - 1] != MARK:
            begin -= 1
        return "".join(self._pieces[begin:mark])

    def _resumed(self, position: Position) -> tuple[Delta | Reset, int]:
        """Return what a reader at `position` is handed, and the piece it ends with."""
        if self.is_released:
            return Delta("", position), 0
        attempt = self.run.attempt
        if not self._continues(position):
            begin = self._pieces[0] if self._pieces else ""
            if begin == MARK:
                return Reset("", Position(0, attempt)), 0
            end = Position(len(begin), attempt)
            return Reset(begin, end), min(1, len(self._pieces))
        seen = length = 0
        while length < position.offset:
            length += len(self._pieces[seen])
            seen += 1
        rest = self._pieces[seen - 1][position.offset - length :]
        if length == position.offset:
            rest = ""
        return Delta(rest, Position(length, attempt)), seen

    def _common_length(self) -> int | None:
        if self.run.attempt == 1:
            return None
        if self._is_resumed:
            return self.length
        return min(self._bound, self._agreed)

    @property
    def _bound(self) -> int:
        """How far an earlier attempt's reader can have read what is known here."""
        known = self.run.common_length
        return len(self._kept) if known is None else known

    def _is_mine(self, position: Position) -> bool:
        return (position.attempt or 1) == self.run.attempt

    def _is_decided(self, position: Position) -> bool:
        """Whether it is known if the text continues where the reader stopped."""
        if self._is_resumed:
            return self.is_over or self.length >= position.offset
        return (
            self.is_over
            or self._is_mine(position)
            or position.offset > self._bound
            or self._agreed >= position.offset
            or self._agreed < self.length
        )

    def _continues(self, position: Position) -> bool:
        if self._is_resumed or self._is_mine(position):
            return position.offset <= self.length
        return position.offset <= min(self._bound, self._agreed)


def common_beginning(one: str, other: str) -> int:
    """Return how many characters two texts begin with alike."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))
