"""An answer that is fetched again, without what was received of it before."""

from collections.abc import Sequence

from llamakeep.domain import Item, Text
from llamakeep.domain.output import MARK
from llamakeep.errors import ProviderAnswerInvalid
from llamakeep.providers.base import ItemBegun, ItemText, Logprobs


class Repetition:
    """Leaves out of an answer the tape that was received; `heads` are its items."""

    def __init__(self, tape: str, heads: Sequence[Item]) -> None:
        self._rest = tape
        self._heads = list(heads)[::-1]
        self._is_in_text = True

    @property
    def is_over(self) -> bool:
        """Whether all of it was repeated: what comes is new."""
        return not self._rest

    def news(
        self, event: str | ItemBegun | ItemText | Logprobs
    ) -> str | ItemBegun | ItemText | None:
        """
        Return what is new in an event.

        Raises:
            ProviderAnswerInvalid: It is another answer.
        """
        if isinstance(event, ItemBegun):
            self._begin(event.item)
            return None
        if isinstance(event, Logprobs):
            return None
        text = event if isinstance(event, str) else event.text
        size = min(len(text), len(self._rest))
        if text[:size] != self._rest[:size]:
            raise _other_answer()
        self._rest = self._rest[size:]
        news = text[size:]
        if not news:
            return None
        return news if isinstance(event, str) else ItemText(news)

    def _begin(self, item: Item) -> None:
        is_text = isinstance(item, Text)
        if is_text and self._is_in_text:
            return  # it has no mark
        if not self._rest.startswith(MARK) or self._heads.pop() != item:
            raise _other_answer()
        self._rest = self._rest[1:]
        self._is_in_text = is_text


def _other_answer() -> ProviderAnswerInvalid:
    return ProviderAnswerInvalid(
        "The provider's answer is not the one that it had begun; the text so far is "
        "kept."
    )
