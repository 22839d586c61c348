"""What the emulator remembers: one account, its predictions, and what was asked."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from llamakeep.providers.base import Provider
from replicate_emulator.answers import answer
from replicate_emulator.catalogue import Catalogue, Target
from replicate_emulator.clock import Clock
from replicate_emulator.limits import Limits
from replicate_emulator.predictions import Prediction
from replicate_emulator.rules import Rule, Rules
from replicate_emulator.settings import EmulatorSettings
from replicate_emulator.webhooks import Webhooks


class Emulator:
    """
    The state behind the HTTP API; it lives as long as the process.

    Args:
        settings: How to behave until told otherwise.
        rules: What waits for requests from the start.
        provider: Answers what no rule has a script for; without it, echoes do.
    """

    def __init__(
        self,
        settings: EmulatorSettings,
        rules: Iterable[Rule] = (),
        provider: Provider | None = None,
    ) -> None:
        self.provider = provider
        self._first_settings, self._first_rules = settings, tuple(rules)
        self.reset()

    def reset(self) -> None:
        """Begin anew, as the process did; `close` comes first."""
        settings = self._first_settings
        self.clock = Clock()
        self.requests: Counter[str] = Counter()
        """How many requests came, by kind."""
        self.predictions: list[Prediction] = []
        """In the order of their creation."""
        self._by_id: dict[str, Prediction] = {}
        self._by_stream_key: dict[str, Prediction] = {}
        self.rules = Rules(settings.seed)
        for rule in self._first_rules:
            self.rules.add(rule)
        self.webhooks = Webhooks(lambda: self.settings)
        self.change(settings)

    def change(self, settings: EmulatorSettings) -> None:
        """Behave differently from now on; running predictions keep their pace."""
        self.settings = settings
        self.clock.ahead = timedelta(seconds=settings.clock_ahead)
        self.limits = Limits(settings)
        self.catalogue = Catalogue(settings.official_models)

    def create(self, prediction: Prediction, target: Target, rule: Rule) -> None:
        """Remember `prediction` and begin to answer it as `rule` says."""
        self.predictions.append(prediction)
        self._by_id[prediction.id] = prediction
        self._by_stream_key[prediction.stream_key] = prediction
        answer(
            prediction,
            rule,
            self.settings,
            max_prompt=target.model.max_prompt,
            provider=self.provider,
            output=target.version.output_fields,
        )
        if prediction.cancel_after is not None and not prediction.is_final:
            self._expire_later(prediction, prediction.cancel_after)
        if prediction.webhook is not None:
            self.webhooks.follow(prediction)

    def find(self, prediction_id: str) -> Prediction | None:
        """Return a prediction by its id."""
        return self._refreshed(self._by_id.get(prediction_id))

    def find_stream(self, stream_key: str) -> Prediction | None:
        """Return the prediction that a stream belongs to."""
        return self._refreshed(self._by_stream_key.get(stream_key))

    def listed(self) -> list[Prediction]:
        """Return what the list shows already, in the order of creation."""
        if not self.settings.list_lag:
            return self.predictions
        newest = self.clock.now() - timedelta(seconds=self.settings.list_lag)
        return [each for each in self.predictions if each.created_at <= newest]

    def advance(self, seconds: float) -> None:
        """Turn the clock, and let happen what is due by then."""
        self.clock.advance(seconds)
        now = self.clock.now()
        for prediction in self.predictions:
            if prediction.deadline is not None and prediction.deadline <= now:
                prediction.expire()
            self._refreshed(prediction)

    def close(self) -> None:
        """Stop answering, and end all waiting requests."""
        self.webhooks.close()
        for prediction in self.predictions:
            prediction.abandon()

    def _refreshed(self, prediction: Prediction | None) -> Prediction | None:
        if (
            prediction is not None
            and prediction.completed_at is not None
            and not prediction.is_erased
        ):
            kept_until = prediction.completed_at + timedelta(
                seconds=self.settings.retention
            )
            if kept_until <= self.clock.now():
                prediction.erase()
        return prediction

    def _expire_later(self, prediction: Prediction, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, prediction.expire)
        stop_answering = prediction.stop_answering
        assert stop_answering is not None

        def stop() -> None:
            timer.cancel()
            stop_answering()

        prediction.stop_answering = stop
