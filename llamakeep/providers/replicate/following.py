"""Following one prediction to its end: its stream, and polling where that fails."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from time import monotonic

from llamakeep.errors import (
    AnswerExpired,
    ProviderAnswerInvalid,
    ProviderTimeout,
)
from llamakeep.http import HttpError
from llamakeep.providers.backoff import Backoff
from llamakeep.providers.replicate.api import TRANSIENT, ReplicateApi
from llamakeep.providers.replicate.errors import failure, hit_the_limit
from llamakeep.providers.replicate.predictions import MAX_TEXT, Prediction
from llamakeep.providers.replicate.streams import StreamedTexts

_SHORT_STREAM = 5.0
_MAX_SHORT_STREAMS = 2


class Following:
    """
    One prediction, and what it has said so far.

    The text may be whole (`is_whole`) before the prediction has ended. An output that
    `is_object` is not read from a stream. It takes `budget` seconds at most, and
    Replicate may be out of reach for `patience` seconds.
    """

    def __init__(
        self,
        api: ReplicateApi,
        prediction_id: str,
        prediction: Prediction | None = None,
        *,
        is_whole: bool = False,
        is_object: bool = False,
        budget: float,
        patience: float,
    ) -> None:
        self._api = api
        self.prediction_id = prediction_id
        self._seen = prediction
        self._is_whole = is_whole
        self._is_object = is_object
        self._budget = budget
        self._deadline = monotonic() + budget
        self._backoff = Backoff(
            patience=patience,
            known_within=min(patience, budget / 4),
            at_once=is_whole,
        )
        self._said = ""
        self._short_streams = 0
        self._is_given_up = False
        self._hint = asyncio.Event()

    @property
    def prediction(self) -> Prediction:
        """As it was seen last; it was seen."""
        assert self._seen is not None
        return self._seen

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to be stopped."""
        return self._seen is not None and self._seen.is_final

    def hint(self) -> None:
        """Ask for the prediction now, if it is waited for before it is asked for."""
        self._hint.set()

    async def find(self) -> None:
        """
        Get the prediction for the first time.

        Raises:
            AnswerExpired: Replicate does not know it.
            ProviderError: Replicate was out of reach for too long.
        """
        while self._seen is None:
            await self._look()

    async def texts(self) -> AsyncGenerator[str, None]:
        """
        Yield the text, from its start, until the prediction has succeeded.

        Raises:
            PromptRejected: The prediction failed because of its prompt.
            ProviderError: It ended otherwise, or cannot be followed any longer.
        """
        if text := self._news():
            yield text
        while not (self.prediction.is_final or self._is_given_up):
            if self._may_stream():
                async with aclosing(self._streamed()) as texts:
                    async for text in texts:
                        yield text
            else:
                await self._sleep(self._backoff.next_pause(), self._hint)
            await self._look()
            if text := self._news():
                self._backoff.grown()
                yield text
        self._check_end()

    def _may_stream(self) -> bool:
        return (
            self.prediction.stream_url is not None
            and not self._is_whole
            and not self._is_object
            and self._short_streams < _MAX_SHORT_STREAMS
        )

    async def _streamed(self) -> AsyncGenerator[str, None]:
        url = self.prediction.stream_url
        assert url is not None
        began, had_said = monotonic(), len(self._said)
        with suppress(HttpError, TimeoutError):
            async with self._api.open_stream(url) as response:
                if response is None:
                    self._short_streams = _MAX_SHORT_STREAMS
                    return
                texts = StreamedTexts(response, self._said)
                while text := await self._next(texts):
                    self._said += text
                    yield text
                self._is_whole = texts.is_done
        is_short = monotonic() - began < _SHORT_STREAM and len(self._said) == had_said
        self._short_streams = self._short_streams + 1 if is_short else 0

    async def _next(self, texts: StreamedTexts) -> str | None:
        async with asyncio.timeout(self._deadline - monotonic()):
            return await texts.next()

    async def _look(self) -> None:
        """Get the prediction; an outage that is not too long is waited out."""
        tries = 3 if self._is_whole else 1
        try:
            self._seen = await self._api.get(self.prediction_id, tries=tries)
        except (*TRANSIENT, AnswerExpired) as error:
            if self._is_whole:
                self._is_given_up = True  # only the usage is missing
                return
            await self._sleep(self._backoff.pause_after(error))
        else:
            self._backoff.reached()

    def _news(self) -> str:
        """Return what the prediction says beyond what was said."""
        prediction = self.prediction
        if prediction.is_too_long:
            raise ProviderAnswerInvalid(
                f"The answer is longer than {MAX_TEXT} characters; the text so far is "
                "kept."
            )
        whole = prediction.text or ""
        if prediction.is_json:
            whole = self._whole_json(whole)
        if self._said.startswith(whole):
            return ""  # a GET may be behind the stream
        if not whole.startswith(self._said):
            # A stream knows only one kind of line end.
            whole = whole.replace("\r\n", "\n").replace("\r", "\n")
        if not whole.startswith(self._said):
            error = ProviderAnswerInvalid(
                "Replicate's stream said something else than the prediction has."
            )
            error.answer_may_exist = True
            raise error
        news = whole[len(self._said) :]
        self._said = whole
        return news

    def _whole_json(self, text: str) -> str:
        """Return what has been said once an output that is no text has been said."""
        if not (self.prediction.is_final or self._is_whole):
            return self._said  # it may become another one
        if not self._said or text.startswith(self._said):
            return text
        with suppress(ValueError):
            if self._is_whole or json.loads(self._said) == json.loads(text):
                return self._said
        return f"{self._said}\n{text}"

    def _check_end(self) -> None:
        prediction = self.prediction
        if prediction.is_erased and not self._is_whole:
            raise AnswerExpired(
                "Replicate has erased the answer, as it does an hour after the "
                "prediction's end. The text that had arrived is kept."
            )
        has_failed = prediction.is_final and prediction.status != "succeeded"
        if has_failed and not hit_the_limit(prediction):
            raise failure(prediction)

    async def _sleep(self, seconds: float, bell: asyncio.Event | None = None) -> None:
        """Let so much time pass, or less if the bell rings."""
        if monotonic() + seconds > self._deadline:
            raise ProviderTimeout(
                f"The prediction was not done after {self._budget:g} seconds; the text "
                "so far is kept."
            )
        if bell is None:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await bell.wait()
        bell.clear()
