"""Clients that ask, lose their connections, come back, and note what they hear."""

import asyncio
import json
import secrets
import time
from typing import Any, Literal

import httpx2

from tests.acceptance.processes import ServerProcess
from tests.torture.checker import UNANSWERED, Told
from tests.torture.site import Site

Way = Literal["plain", "stream", "background", "cancel"]
WAYS: tuple[Way, ...] = ("plain", "stream", "background")
PATIENCE = 120.0
"""Seconds after which a client gives up, which is a fault."""
AGAIN = 0.02
"""Seconds until a client whose connection was lost comes back."""
UNAVAILABLE = httpx2.codes.SERVICE_UNAVAILABLE
DENIAL = "nothing was stored"
"""What a refusal says after which a client may send its prompt again without a key."""
WORDS = ("llama", "alpaca", "vicu\u00f1a", "guanaco", "\U0001f999", "caf\u00e9", "\n")


class Refused(Exception):
    """A prompt was not accepted, for a reason that will not pass."""


class Client:
    """
    Asks prompts that nobody else asks.

    Args:
        site: Whom it asks.
        journal: Where it writes down what it was told.
        timeout: Seconds of silence after which it tries elsewhere.
    """

    def __init__(self, site: Site, journal: list[Told], *, timeout: float = 15) -> None:
        self._site = site
        self._journal = journal
        self._timeout = timeout
        self._chance = site.chance

    async def ask(self, way: Way, *, first: ServerProcess | None = None) -> None:
        """Ask one prompt until its end is known; `first` hears of it first."""
        told = Told(prompt=self._new_prompt())
        self._journal.append(told)
        try:
            async with asyncio.timeout(PATIENCE):
                if way == "plain":
                    await self._wait(told, first)
                elif way == "stream":
                    await self._stream(told, first, {"stream": True})
                else:
                    await self._begin(told, first)
                    if way == "cancel":
                        await self._cancel(told)
                    await self._stream(told, first, {"background": True})
        except Refused:
            pass  # the journal says so
        except TimeoutError:
            told.problem = "the client gave up"

    def _new_prompt(self) -> str:
        length = self._chance.randint(10, 30)
        words = self._chance.choices(WORDS, k=length)
        fate, key = next(self._site.fates), secrets.token_hex(8)
        return f"{self._site.word} {fate} {key} {' '.join(words)}!"

    async def _wait(self, told: Told, first: ServerProcess | None) -> None:
        answer = (await self._post(told, first, {})).json()
        if not _is_problem(told, answer):
            _note_end(told, answer)
            told.texts.append(answer["response"])

    async def _begin(self, told: Told, first: ServerProcess | None) -> None:
        answer = (await self._post(told, first, {"background": True})).json()
        if _is_problem(told, answer):
            raise Refused
        told.run_ids.add(answer["id"])

    async def _post(
        self, told: Told, first: ServerProcess | None, more: dict[str, Any]
    ) -> httpx2.Response:
        """Send a prompt until there is an answer: with one key, so it is one prompt."""
        node = first or self._site.reachable_node()
        while True:
            try:
                response = await node.client.post("/prompt/", **self._sent(told, more))
            except httpx2.TransportError:
                told.is_unsure = True
                await asyncio.sleep(AGAIN)
            else:
                if response.status_code != UNAVAILABLE:
                    return response
                _note_refusal(told, response.json())
                if await self._has_ended(told):
                    return response
                await asyncio.sleep(5 * AGAIN)
            node = self._site.reachable_node()

    async def _has_ended(self, told: Told) -> bool:
        """Return whether a 503 is how a run has ended: it is no reason to come back."""
        if not told.run_ids:
            return False
        path, node = f"/history/{min(told.run_ids)}", self._site.reachable_node()
        try:
            response = await node.client.get(path, timeout=self._timeout)
        except httpx2.TransportError:
            return False
        if response.is_success and response.json()["status"] in UNANSWERED:
            _note_end(told, response.json())
            return True
        return False

    async def _cancel(self, told: Told) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.4))
        told.is_canceled = True
        path = f"/history/{min(told.run_ids)}/cancel"
        while True:
            try:
                client = self._site.reachable_node().client
                response = await client.post(path, timeout=self._timeout)
            except httpx2.TransportError:
                await asyncio.sleep(AGAIN)
            else:
                if response.is_success:
                    _note_end(told, response.json())
                    return
                await asyncio.sleep(5 * AGAIN)

    async def _stream(
        self, told: Told, first: ServerProcess | None, more: dict[str, Any]
    ) -> None:
        """Read to the end, hanging up now and then; put the pieces together."""
        node = first or self._site.reachable_node()
        reading = _Reading(told)
        while not reading.is_over:
            if told.run_ids:
                [run_id] = told.run_ids
                path, method = f"/history/{run_id}/stream", "GET"
                request = self._resumed(reading.position)
            else:
                path, request, method = "/prompt/", self._sent(told, more), "POST"
            deltas = self._chance.choice([0, self._chance.randint(1, 12)])
            try:
                async with node.client.sse(path, method=method, **request) as source:
                    if source.response.is_success:
                        await reading.read(source, deltas)
                    else:
                        problem = json.loads(await source.response.aread())
                        _note_refusal(told, problem)
                        if problem["status"] != UNAVAILABLE:
                            raise Refused
                        reading.is_refused = True
                        await asyncio.sleep(5 * AGAIN)
            except httpx2.TransportError:
                told.is_unsure = True
                await asyncio.sleep(AGAIN)
            if reading.is_refused:
                reading.is_refused = False
                reading.is_over = await self._has_ended(told)
            node = self._site.reachable_node()

    def _sent(self, told: Told, more: dict[str, Any]) -> dict[str, Any]:
        # What identifies the prompt is in it; a key has to be without spaces.
        key = told.prompt.split()[2]
        return {
            "json": {"prompt": told.prompt, **more},
            "headers": {"Idempotency-Key": key},
            "timeout": self._timeout,
        }

    def _resumed(self, position: str) -> dict[str, Any]:
        headers = {"Last-Event-ID": position} if position else {}
        return {"headers": headers, "timeout": self._timeout}


class _Reading:
    """What was read of one run, on however many streams."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.position = ""
        self.is_over = False
        self.is_refused = False
        """Whether a 503 was read last."""
        self._text = ""

    async def read(self, source: httpx2.EventSource, deltas: int) -> None:
        """Read to the end of a stream, or hang up after so many deltas, if any."""
        async for one in source:
            data: Any = one.json()
            if one.event == "run":
                self.told.run_ids.add(data["id"])
                self.told.resumed += bool(self.position)
            elif one.event == "reset":
                self._text, self.position = data["text"], one.id
            elif one.event == "delta":
                self._text, self.position = self._text + data["text"], one.id
                deltas -= 1
                if deltas == 0:
                    return
            elif _is_problem(self.told, data):
                # With 503, the run is kept and can be followed again.
                self.is_refused = data["status"] == UNAVAILABLE
                self.is_over = not self.is_refused
                await asyncio.sleep(5 * AGAIN)
            else:
                self.is_over = True
                _note_end(self.told, data)
                self.told.texts += [self._text, data["response"]]


def _note_end(told: Told, run: dict[str, Any]) -> None:
    told.run_ids.add(run["id"])
    told.status = run["status"]


def _note_refusal(told: Told, problem: dict[str, Any]) -> None:
    told.problem = str(problem["type"])
    if problem.get("run_id"):
        told.run_ids.add(problem["run_id"])
    if DENIAL not in problem["detail"].lower():
        told.is_unsure = True
    elif not (told.run_ids or told.is_unsure):
        # An earlier request, whose answer was lost, may have stored something.
        told.denied_at.append(time.time())
    if problem["status"] == httpx2.codes.NOT_FOUND:
        told.missing |= told.run_ids


def _is_problem(told: Told, answer: dict[str, Any]) -> bool:
    """Return whether `answer` is a problem, which is noted with the run it names."""
    if not str(answer.get("type")).startswith("urn:"):
        return False
    told.problem = str(answer["type"])
    if answer.get("run_id"):
        told.run_ids.add(answer["run_id"])
    return True
