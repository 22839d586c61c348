"""
Sequence numbers of the events of a response.

Numbers are computed from the answer's tape and the items in it, so that they are the
same at every node and at every reading, and none are stored:

    0  response.created
    1  response.in_progress
    2  the first item; each item takes 5 numbers, and one for each character

With an item whose first number is F, and whose text has L characters:

    F      response.output_item.added        F + L + 2  its text is done
    F + 1  response.content_part.added       F + L + 3  response.content_part.done
                                             F + L + 4  response.output_item.done

and in between `F + 1 + e` for the delta after which the client has `e` characters. A
tool call has no content part, and leaves its numbers out. The number after those of the
last item is that of the response's end. A client can resume after any number.
"""

from dataclasses import dataclass, replace

from llamakeep.domain import Item, Run, Text
from llamakeep.engine import (
    Delta,
    Ended,
    ItemDelta,
    NextItem,
    Position,
    Reset,
    Update,
)
from llamakeep.errors import RunInterrupted

OPENING, CLOSING = 2, 3
"""How many numbers an item takes before and after its text."""

NOTHING_SEEN = -1

_TEXT = Text()


@dataclass(frozen=True, slots=True)
class Place:
    """An item of an answer, and how far a client has it."""

    item: Item = _TEXT
    """Without its text."""
    index: int = 0
    first: int = 2
    """Its first number."""
    start: int = 0
    """The position in the tape where its text begins."""
    offset: int = 0
    """The position of the client."""

    def number_at(self, offset: int) -> int:
        """Return the number of the delta that ends at a position in the tape."""
        return self.first + OPENING - 1 + offset - self.start

    def after(self, item: Item, offset: int) -> "Place":
        """Return the place of the next item, whose text begins at `offset`."""
        if offset == 1:  # there is nothing before its mark
            return Place(item, start=1, offset=1)
        end = offset - 1
        first = self.number_at(end) + CLOSING + 1
        return Place(item, self.index + 1, first, offset, offset)

    def reached(self, number: int, end: int) -> "Place":
        """Return the place of a client with an event of the item, which has an end."""
        offset = self.start + number - self.number_at(self.start)
        return replace(self, offset=min(end, max(self.start, offset)))


BEGINNING = Place()
"""Before any item, and in the text that most answers are."""


def place_in(run: Run, number: int, length: int) -> Place:
    """
    Return the place of a client that has the event `number` of a run that has ended.

    Args:
        run: The run; if its answer is text alone, that may be left out.
        number: Of the client's last event.
        length: How many characters the text has, if there is nothing else.

    Raises:
        RunInterrupted: It may be the number of another event, of an earlier attempt.
    """
    place, end = BEGINNING, 0
    sized = [(item, len(item.text)) for item in run.output] or [(Text(), length)]
    for index, (item, size) in enumerate(sized):
        if index or not isinstance(item, Text):
            following = place.after(replace(item, text=""), end + 1)
            if index and number < following.first:
                _check_once(run.attempt, run.common_length, end)
                return place.reached(number, end)
            place = following
        end = place.start + size
        if number <= place.number_at(end):
            return place.reached(number, end)
    _check_once(run.attempt, run.common_length, end)
    return place.reached(number, end)


class Search:
    """
    Finds the place of a client in a run that has not ended.

    Args:
        number: Of the client's last event.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._place = BEGINNING

    def found(self, update: Update) -> Place | None:
        """
        Return the place, once enough of the answer is known.

        Args:
            update: The next one of a reader that began at the answer's beginning.

        Raises:
            RunInterrupted: As `place_in`.
        """
        number = self._number
        match update:
            case Reset(position=position):
                self._place = BEGINNING
                return self._if_reached(position)
            case Delta(position=position) | ItemDelta(position=position):
                return self._if_reached(position)
            case NextItem(item, position):
                following = self._place.after(item, position.offset)
                if number < following.first:
                    end = position.offset - 1
                    _check_once(position.attempt or 1, None, end)
                    return self._place.reached(number, end)
                self._place = following
                return self._if_reached(position)
            case Ended(run, text):
                length = len(run.response) if text is None else text.length
                return place_in(run, number, length)
            case _:
                return None

    def _if_reached(self, position: Position) -> Place | None:
        if self._number > self._place.number_at(position.offset):
            return None
        return self._place.reached(self._number, position.offset)


def restarted() -> RunInterrupted:
    """Return the error of a client whose events are not this answer's beginning."""
    return RunInterrupted(
        "The server had to begin this answer again, so what came so far is not its "
        "beginning, and nothing more is sent. The run continues, and its whole text is "
        "kept: retrieve the response without `stream`."
    )


def _check_once(attempt: int, common_length: int | None, end: int) -> None:
    """
    Check that a client has the events after an item's text, not more of that text.

    The mark after it has to be in all attempts, since each may have another text.
    """
    if attempt > 1 and (common_length or 0) <= end:
        raise restarted()
