"""The words of a prediction as its stream says them."""

from contextlib import suppress

from pydantic_core import from_json

from llamakeep.http import HttpError, Response
from llamakeep.providers.replicate.predictions import clean
from llamakeep.providers.sse import EventParser, EventTooLarge


class StreamedTexts:
    """
    The texts of one open stream, joined as they arrived together.

    However it ends, that is no failure: what it did not say, a GET does. A stream
    begins at the start: what was `said` earlier is left out.
    """

    def __init__(self, response: Response, said: str) -> None:
        self._response = response
        self._parser = EventParser()
        self._repeated = said
        """What is still to be repeated."""
        self._is_over = response.status != 200
        self.is_done = False
        """Whether it said that the prediction succeeded: then it has said all."""

    async def next(self) -> str | None:
        """Return some more text, or `None` when there is no more."""
        while not self._is_over:
            try:
                data = await self._response.read()
                if data is None:
                    break
                events = self._parser.feed(data)
            except (HttpError, EventTooLarge):
                break
            texts = []
            for event in events:
                if event.name == "output":
                    texts.append(event.data.decode(errors="replace"))
                elif event.name in {"done", "error"}:
                    self._is_over = True
                    self.is_done = event.name == "done" and _is_success(event.data)
                    break
            if text := self._news(clean("".join(texts))):
                return text
        self._is_over = True
        return None

    def _news(self, text: str) -> str:
        if not self._repeated:
            return text
        if self._repeated.startswith(text):
            self._repeated = self._repeated[len(text) :]
            return ""
        if text.startswith(self._repeated):
            text = text[len(self._repeated) :]
            self._repeated = ""
            return text
        # It begins somewhere else: of no use.
        self._is_over = True
        self.is_done = False
        return ""


def _is_success(data: bytes) -> bool:
    with suppress(ValueError):
        return bool(from_json(data) == {})
    return False
