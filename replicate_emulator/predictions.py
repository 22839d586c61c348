"""A prediction: what it is asked, what it has said, and who is listening."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from replicate_emulator.clock import Clock

Status = Literal["starting", "processing", "succeeded", "failed", "canceled", "aborted"]
_NEXT: dict[Status, frozenset[Status]] = {
    "starting": frozenset({"processing", "failed", "canceled", "aborted"}),
    "processing": frozenset({"succeeded", "failed", "canceled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "canceled": frozenset(),
    "aborted": frozenset(),
}
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_KEY_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def _random_text(length: int, alphabet: str) -> str:
    return "".join(alphabet[byte & 31] for byte in secrets.token_bytes(length))


def prompt_in(given: Mapping[str, Any]) -> str:
    """Return the prompt in an input, or else the text that was said last."""
    for name in ("messages", "input_item_list"):
        messages = given.get(name)
        for message in reversed(messages) if isinstance(messages, list) else ():
            if isinstance(message, dict):
                said = message.get("content") or message.get("output")
                parts = said if isinstance(said, list) else [{"text": said}]
                texts = [part.get("text") for part in parts if isinstance(part, dict)]
                if all(isinstance(text, str | None) for text in texts) and any(texts):
                    return "".join(filter(None, texts))
    prompt = given.get("prompt")
    return prompt if isinstance(prompt, str) else ""


@dataclass(slots=True, kw_only=True, eq=False)
class Prediction:
    """
    One prediction, from its creation until long after its end.

    The task that answers calls `start`, `say` and `finish`; readers use `followed`,
    which yields all three, or wait for `ended`.
    """

    clock: Clock
    origin: str
    """Where its `urls` point."""
    model: str
    version: str
    input: dict[str, Any]
    deployment: str | None = None
    webhook: str | None = None
    webhook_events_filter: list[str] | None = None
    cancel_after: int | None = None
    output: Any = None
    """What is shown instead of the deltas, once there are some."""
    has_stream: bool = True
    id: str = field(default_factory=lambda: _random_text(26, _ID_ALPHABET))
    stream_key: str = field(default_factory=lambda: _random_text(52, _KEY_ALPHABET))
    """A secret in the stream's URL, which permits reading it."""
    status: Status = "starting"
    deltas: list[str] = field(default_factory=list)
    emitted: list[float] = field(default_factory=list)
    """When each delta was said, by `time.monotonic`, which processes share on Linux."""
    logs: str = ""
    error: str | None = None
    metrics: dict[str, float] | None = None
    input_tokens: int = 0
    output_tokens: int | None = None
    """Without it, the deltas are counted."""
    is_erased: bool = False
    created_at: datetime = field(init=False)
    created: float = field(default_factory=time.monotonic)
    started_at: datetime | None = None
    started: float | None = None
    completed_at: datetime | None = None
    completed: float | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nothing more will come, even if the emulator just shuts down."""
    stop_answering: Callable[[], None] | None = None
    """Called once at the end, whatever the reason for it."""
    requests: Counter[str] = field(default_factory=Counter)
    """How often it was asked for, by kind of request."""
    _listeners: set[asyncio.Event] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.created_at = self.clock.stamp()

    @property
    def prompt(self) -> str:
        """The prompt in its input."""
        return prompt_in(self.input)

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return not _NEXT[self.status]

    @property
    def deadline(self) -> datetime | None:
        """When `Cancel-After` ends it."""
        if self.cancel_after is None:
            return None
        return self.created_at + timedelta(seconds=self.cancel_after)

    def start(self) -> None:
        """Let the model begin."""
        self._become("processing")
        self.started_at, self.started = self.clock.now(), time.monotonic()
        self._tell()

    def say(self, delta: str) -> None:
        """Add `delta` to the output."""
        self.deltas.append(delta)
        self.emitted.append(time.monotonic())
        self._tell()

    def finish(self, status: Status, error: str | None = None) -> None:
        """End it."""
        self._become(status)
        self.error = error
        self.completed_at, self.completed = self.clock.now(), time.monotonic()
        self.metrics = self._measured()
        self.abandon()

    def abandon(self) -> None:
        """Stop answering and send the listeners away, in whatever state it is."""
        if self.stop_answering is not None:
            self.stop_answering()
            self.stop_answering = None
        self.ended.set()
        self._tell()

    def cancel(self) -> None:
        """End it as its owner wishes; one that has ended stays as it is."""
        if not self.is_final:
            self.finish("canceled")

    def expire(self) -> None:
        """End it because its `Cancel-After` has passed."""
        if not self.is_final:
            self.finish("aborted" if self.status == "starting" else "canceled")

    def erase(self) -> None:
        """Forget what was said, and show no more what was asked."""
        self.is_erased = True
        self.logs = ""
        self.deltas, self.emitted = [], []
        self._tell()

    @contextmanager
    def followed(self) -> Iterator[asyncio.Event]:
        """Return an event that is set whenever something has changed."""
        changed = asyncio.Event()
        self._listeners.add(changed)
        try:
            yield changed
        finally:
            self._listeners.discard(changed)

    def _become(self, status: Status) -> None:
        if status not in _NEXT[self.status]:
            raise ValueError(f"a {self.status} prediction cannot become {status}")
        self.status = status

    def _tell(self) -> None:
        for listener in self._listeners:
            listener.set()

    def _measured(self) -> dict[str, float]:
        assert self.completed is not None
        measured = {"total_time": self.completed - self.created}
        if self.started is None:
            return measured
        measured["predict_time"] = self.completed - self.started
        if self.status == "succeeded":
            count = self.output_tokens
            count = sum(map(bool, self.deltas)) if count is None else count
            measured["input_token_count"] = self.input_tokens
            measured["output_token_count"] = count
            measured["tokens_per_second"] = count / max(measured["predict_time"], 1e-6)
            if self.emitted:
                measured["time_to_first_token"] = self.emitted[0] - self.started
        return measured
