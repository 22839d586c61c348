"""Requests that are small, and ask for much."""

import json
from collections.abc import Awaitable, Callable, Sequence

from bench.shell.clients import End, send
from bench.shell.readers import READERS, never_read
from bench.shell.server import REFERENCES, Server
from bench.shell.upstream import LARGE

PHRASE = 241
"""Words of a phrase that is searched."""

Attack = Callable[[Server], Awaitable[list[End]]]


def costly(server: Server) -> dict[str, Attack]:
    """Return what the attacker asks for, by what the table calls it."""
    search = f"/history/?limit=50&q=%22{'a+' * (PHRASE - 1)}z%22"
    streams = [f"/history/{run_id}/stream" for run_id in server.kept.long]
    large = [server.kept.large] * REFERENCES
    attacks: dict[str, Attack] = {
        f"{READERS} readers of exports who never read": _reading("/history/export"),
        f"{READERS} readers of streams of 16 MB who never read": _reading(*streams),
        f"a search for a phrase of {PHRASE} words": _asking(f"GET {search}"),
        f"{REFERENCES} references to a prompt of 1 MB": _referring(large),
        f"{REFERENCES} references to prompts of 10 KB": _referring(server.kept.many),
    }
    for name in LARGE:
        body = {"prompt": "Go on", "model": f"openai:{name}"}
        attacks[f"JSON from upstream: {name}"] = _asking("POST /prompt/", body)
    return attacks


def _reading(*paths: str) -> Attack:
    async def attack(server: Server) -> list[End]:
        return await never_read(server, paths)

    return attack


def _referring(run_ids: Sequence[str]) -> Attack:
    items = [f"msg_{run_id.removeprefix('run_')}_0" for run_id in run_ids]
    said = [{"type": "item_reference", "id": each} for each in items]
    body = {"model": "openai:short", "input": [*said, {"role": "user", "content": "x"}]}
    return _asking("POST /v1/responses", body)


def _asking(line: str, body: object = None) -> Attack:
    async def attack(server: Server) -> list[End]:
        sent = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {server.access_token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        )
        return [await send(server, [head.encode(), sent])]

    return attack
