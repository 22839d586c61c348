"""Talking to an emulator as a client and as somebody at its control panel."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from tests.waiting import LONG_ENOUGH

MAVERICK = "meta/llama-4-maverick-instruct"
AT_ONCE = {"start_delay": 0, "first_delay": 0, "gap": 0}
# Reading the system's takes longer than most tests do.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CREDENTIALS = {"authorization": "Bearer r8_anything"}


class Driver:
    """One emulator, with whatever a test wants to do to it."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.http = httpx2.Client(
            base_url=origin,
            headers=CREDENTIALS,
            timeout=LONG_ENOUGH,
            verify=NO_CERTIFICATES,
        )

    def close(self) -> None:
        self.http.close()

    def reset(self) -> None:
        self.http.post("/_emulator/reset").raise_for_status()

    def set(self, **changes: Any) -> None:
        self.http.patch("/_emulator/settings", json=changes).raise_for_status()

    def rule(self, **fields: Any) -> None:
        self.http.post("/_emulator/rules", json=fields).raise_for_status()

    def advance(self, seconds: float) -> None:
        answer = self.http.post("/_emulator/clock", json={"advance": seconds})
        answer.raise_for_status()

    def known(self, **filters: str) -> dict[str, Any]:
        return self._json(self.http.get("/_emulator/predictions", params=filters))

    def observed(self, prediction: dict[str, Any]) -> dict[str, Any]:
        return self._json(self.http.get(f"/_emulator/predictions/{prediction['id']}"))

    def post(
        self,
        prompt: str = "one two three",
        *,
        model: str = MAVERICK,
        headers: dict[str, str] | None = None,
        input_more: dict[str, Any] | None = None,
        **more: Any,
    ) -> httpx2.Response:
        return self.http.post(
            f"/v1/models/{model}/predictions",
            json={"input": {"prompt": prompt, **(input_more or {})}, **more},
            headers=headers,
        )

    def create(self, *args: Any, **more: Any) -> dict[str, Any]:
        return self._json(self.post(*args, **more))

    def get(self, prediction: dict[str, Any]) -> dict[str, Any]:
        return self._json(self.http.get(prediction["urls"]["get"]))

    def cancel(self, prediction: dict[str, Any]) -> dict[str, Any]:
        return self._json(self.http.post(prediction["urls"]["cancel"]))

    def finished(self, *args: Any, **more: Any) -> dict[str, Any]:
        """Create a prediction and return it as it is after its end."""
        waiting = {"prefer": "wait", **more.pop("headers", {})}
        return self.get(self.create(*args, headers=waiting, **more))

    def stream(
        self, prediction: dict[str, Any], last_event_id: str | None = None
    ) -> str:
        """Return everything that the stream says until its end."""
        with self.open_stream(prediction, last_event_id) as answer:
            return answer.read().decode()

    @contextmanager
    def open_stream(
        self, prediction: dict[str, Any], last_event_id: str | None = None
    ) -> Iterator[httpx2.Response]:
        headers = {"last-event-id": last_event_id} if last_event_id else {}
        url = prediction["urls"]["stream"]
        with self.http.stream("GET", url, headers=headers) as answer:
            yield answer

    @staticmethod
    def _json(answer: httpx2.Response) -> dict[str, Any]:
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body


def events(stream: str) -> list[tuple[str, str]]:
    """Return the names and data of the events of a stream."""
    found = []
    for block in stream.split("\n\n"):
        lines = [line.partition(": ") for line in block.split("\n")]
        name = "".join(text for field, _, text in lines if field == "event")
        if name:
            data = "\n".join(text for field, _, text in lines if field == "data")
            found.append((name, data))
    return found
