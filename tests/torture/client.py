"""Clients that ask, lose their connections, come back, and note what they hear."""

import asyncio
import secrets
from typing import Any, Literal

import httpx2

from tests.acceptance.processes import ServerProcess
from tests.torture.checker import Told
from tests.torture.site import Site

Way = Literal["plain", "stream", "background", "cancel"]
WAYS: tuple[Way, ...] = ("plain", "stream", "background")
PATIENCE = 60.0
"""Seconds after which a client gives up, which is a fault."""
AGAIN = 0.02
"""Seconds until a client whose connection was lost comes back."""
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
                await asyncio.sleep(AGAIN)
            else:
                if response.status_code != httpx2.codes.SERVICE_UNAVAILABLE:
                    return response
                await asyncio.sleep(5 * AGAIN)
            node = self._site.reachable_node()

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
        text, position, is_over = "", "", False
        while not is_over:
            deltas_left = self._chance.choice([0, self._chance.randint(1, 12)])
            if told.run_ids:
                [run_id] = told.run_ids
                path, request = f"/history/{run_id}/stream", self._resumed(position)
                method = "GET"
            else:
                path, request, method = "/prompt/", self._sent(told, more), "POST"
            try:
                async with node.client.sse(path, method=method, **request) as source:
                    async for one in source:
                        data: Any = one.json()
                        if one.event == "run":
                            told.run_ids.add(data["id"])
                            told.resumed += bool(position)
                        elif one.event == "reset":
                            text, position = data["text"], one.id
                        elif one.event == "delta":
                            text, position = text + data["text"], one.id
                            deltas_left -= 1
                            if deltas_left == 0:
                                break
                        else:
                            is_over = True
                            if not _is_problem(told, data):
                                _note_end(told, data)
                                told.texts += [text, data["response"]]
            except httpx2.TransportError:
                await asyncio.sleep(AGAIN)
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


def _note_end(told: Told, run: dict[str, Any]) -> None:
    told.run_ids.add(run["id"])
    told.status = run["status"]


def _is_problem(told: Told, answer: dict[str, Any]) -> bool:
    """Return whether `answer` is a problem, which is noted with the run it names."""
    if not str(answer.get("type")).startswith("urn:"):
        return False
    told.problem = str(answer["type"])
    if answer.get("run_id"):
        told.run_ids.add(answer["run_id"])
    return True
