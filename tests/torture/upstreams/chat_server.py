"""
Five and more upstreams in one process, each of which fails in a way of its own.

    python -m tests.torture.upstreams.chat_server PORT

`/NAME/v1/chat/completions` is the upstream of that name, which answers unless its name
says otherwise. `/_asked` has what each was asked for, and whether that is paid, and
`/_most` how many prompts each had at the same time at most.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from tests.providers.stub_server import DONE, END, STOP, delta, head, hear, usage, whole

GAP = 0.03
SLOWLY = 0.12
AWAY, BACK = 1.5, 1.5
"""Seconds for which the one that recovers is away, and is there."""
FREE = {"wrong-key", "limited"}
"""Those that charge nothing for what they refuse."""
DIES = {"cut", "garbage"}
"""Those after which no other upstream may be asked, and no answer is whole."""


@dataclass
class Asked:
    """A prompt that an upstream was sent."""

    upstream: str
    prompt: str
    is_paid: bool
    text: str = ""
    """All that it says to it."""


@dataclass
class ChatServer:
    """All of them."""

    began: float = field(default_factory=time.time)
    asked: list[Asked] = field(default_factory=list)
    now: Counter[str] = field(default_factory=Counter)
    """How many prompts each one answers."""
    most: Counter[str] = field(default_factory=Counter)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while heard := await hear(reader):
                if heard.path == "/_asked":
                    writer.write(whole(200, [vars(each) for each in self.asked]))
                    continue
                if heard.path == "/_most":
                    writer.write(whole(200, self.most))
                    continue
                name = heard.path.split("/")[1]
                if heard.method == "GET":
                    writer.write(whole(200, {"data": [{"id": "m"}]}))
                    continue
                prompt = heard.json["messages"][-1]["content"]
                self.now[name] += 1
                self.most[name] = max(self.most[name], self.now[name])
                try:
                    if not await self._answer(name, prompt, writer):
                        break
                finally:
                    self.now[name] -= 1
        writer.close()

    async def _answer(
        self, name: str, prompt: str, writer: asyncio.StreamWriter
    ) -> bool:
        is_away = name == "recovering" and self._is_away()
        asked = Asked(name, prompt, name not in FREE and not is_away)
        self.asked.append(asked)
        if is_away:
            writer.write(whole(503, {"error": {"message": "Starting."}}))
        elif name == "wrong-key":
            writer.write(whole(401, {"error": {"message": "Who are you?"}}))
        elif name == "limited":
            refusal = {"error": {"message": "Slow down."}}
            writer.write(whole(429, refusal, retry_after="1"))
        elif name == "garbage":
            writer.write(random.choice([b"\x00\x01\r\n\r\n", whole(200, b"{]")]))
            await writer.drain()
            return False
        else:
            return await self._talk(name, asked, writer)
        await writer.drain()
        return True

    async def _talk(
        self, name: str, asked: Asked, writer: asyncio.StreamWriter
    ) -> bool:
        words = [f"\u00e9{random.getrandbits(32):x} " for _ in range(8)]
        asked.text = "".join(words)
        last = random.randint(0, len(words) - 1) if name == "cut" else len(words)
        writer.write(head())
        for word in words[:last]:
            await writer.drain()
            await asyncio.sleep(SLOWLY if name == "slow" else GAP)
            writer.write(delta(word))
        await writer.drain()
        if last < len(words):
            writer.transport.abort()
            return False
        for piece in (STOP, usage(7, 8), DONE, END):
            writer.write(piece)
        await writer.drain()
        return True

    def _is_away(self) -> bool:
        return (time.time() - self.began) % (AWAY + BACK) < AWAY


async def _serve(port: int) -> None:
    server = ChatServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port, backlog=512)
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1])))
