"""Server-sent events, as nginx's nchan sends them for Replicate."""

import asyncio
import json
import re
import time
from collections.abc import Iterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from replicate_emulator.connections import cut
from replicate_emulator.predictions import Prediction
from replicate_emulator.rules import Rule
from replicate_emulator.settings import EmulatorSettings

_LINE_ENDS = re.compile("\r\n|\r|\n")
_HELLO = b": hi\n\n"
_HEARTBEAT = b": still here\n\n"
_TIMED_OUT = b":408: 408 Request Timeout\n\n"
_WALL_CLOCK = time.time() - time.monotonic()
"""What turns a monotonic time into a Unix time."""


def event(name: str, event_id: str, text: str) -> bytes:
    """Return one event; every line of `text` gets a `data` line of its own."""
    lines = [f"event: {name}", f"id: {event_id}"]
    lines += [f"data: {line}" for line in _LINE_ENDS.split(text)]
    return ("\n".join(lines) + "\n\n").encode(errors="replace")


def position_after(prediction: Prediction, last_event_id: str | None) -> int:
    """Return the place of the event that follows `last_event_id`, or the start."""
    _, _, number = (last_event_id or "").partition(":")
    place = int(number) if number.isascii() and number.isdecimal() else -1
    if 0 <= place < len(prediction.deltas):
        is_ours = _event_id(prediction.emitted[place], place) == last_event_id
        return place + 1 if is_ours else 0
    return 0


def _event_id(at: float, place: int) -> str:
    return f"{int(at + _WALL_CLOCK)}:{place}"


def _ending(prediction: Prediction, *, done: bool) -> Iterator[bytes]:
    at, place = prediction.completed or 0, len(prediction.deltas)
    reason = {"failed": "error", "canceled": "canceled", "aborted": "canceled"}.get(
        prediction.status
    )
    if prediction.status == "failed":
        detail = json.dumps({"detail": prediction.error or ""})
        yield event("error", _event_id(at, place), detail)
        place += 1
    if done:
        said = json.dumps({"reason": reason} if reason else {})
        yield event("done", _event_id(at, place), said)


class EventStream(Response):
    """
    The deltas of one prediction, from wherever the client left off.

    All deltas that are there are written at once; then it waits for more.
    """

    def __init__(
        self,
        prediction: Prediction,
        rule: Rule,
        settings: EmulatorSettings,
        last_event_id: str | None,
    ) -> None:
        self._prediction = prediction
        self._rule = rule
        self._settings = settings
        self._position = position_after(prediction, last_event_id)
        self._stop_at = self._position + rule.after if rule.after is not None else None
        self._is_gone = False
        super().__init__(
            headers={"cache-control": "no-cache"}, media_type="text/event-stream"
        )
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, until its end or the client's."""
        self._send = send
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        await self._write(_HELLO)
        with self._prediction.followed() as changed:
            watching = asyncio.create_task(self._watch(receive, changed))
            try:
                await self._follow(changed)
            finally:
                watching.cancel()
        if self._is_gone:
            return
        if self._rule.drop:
            await cut(scope, receive, with_reset=True)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, changed: asyncio.Event) -> None:
        prediction = self._prediction
        if self._is_expired():
            await self._write(_TIMED_OUT)
            return
        if self._rule.logs and self._position == 0 and prediction.logs:
            # It has no id: a client that resumes after it begins at the start.
            at = _event_id(prediction.created, 0) + "-logs"
            await self._write(event("logs", at, prediction.logs.rstrip("\n")))
        while not self._is_gone:
            changed.clear()
            has_ended = prediction.ended.is_set()
            await self._write_deltas()
            if self._position == self._stop_at:
                return
            if has_ended:
                await self._write_ending(changed)
                return
            await self._wait(changed)

    async def _write_deltas(self) -> None:
        deltas, emitted = self._prediction.deltas, self._prediction.emitted
        end = len(deltas)
        if self._stop_at is not None:
            end = min(end, self._stop_at)
        if self._position < end:
            await self._write(
                b"".join(
                    event("output", _event_id(emitted[place], place), deltas[place])
                    for place in range(self._position, end)
                )
            )
            self._position = end

    async def _write_ending(self, changed: asyncio.Event) -> None:
        if self._rule.drop or not self._prediction.is_final:
            return
        await self._write(b"".join(_ending(self._prediction, done=self._rule.done)))
        if self._rule.done and self._settings.linger:
            changed.clear()
            try:
                async with asyncio.timeout(self._settings.linger):
                    await changed.wait()
            except TimeoutError:
                await self._write(_TIMED_OUT)

    async def _wait(self, changed: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(self._settings.heartbeat or None):
                    await changed.wait()
            except TimeoutError:
                await self._write(_HEARTBEAT)
            else:
                return

    async def _write(self, text: bytes) -> None:
        if self._rule.crlf:
            text = text.replace(b"\n", b"\r\n")
        await self._send(
            {"type": "http.response.body", "body": text, "more_body": True}
        )

    async def _watch(self, receive: Receive, changed: asyncio.Event) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        changed.set()

    def _is_expired(self) -> bool:
        prediction, lifetime = self._prediction, self._settings.stream_lifetime
        return prediction.is_erased or (
            prediction.completed is not None
            and time.monotonic() - prediction.completed > lifetime
        )
