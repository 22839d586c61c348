"""
Measure what hostile clients take from a server with its default settings, in 5 minutes.

    python -m bench.shell [WORD ...]

With words, only what has one of them in its name is tried. Each line says what was
tried, what came of it, how much memory it took at most, and how long others waited
meanwhile for their history (the 99th percentile).
"""

import asyncio
import gzip
import json
import random
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import repeat

from bench.shell.clients import End, send, watching
from bench.shell.costly import costly
from bench.shell.server import MEGABYTE, PASSWORD, USERS, Server, running
from bench.shell.upstream import MODELS, upstream
from llamakeep.credentials.tokens import new_access_token

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /prompt/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
HALF_HEADS, HALF_BODIES = 1000, 200
PAIRS = 200
LOGINS = 200
PIPELINES, PIPELINED = 100, 14_000
MALFORMED = 20_000


async def half_requests(server: Server) -> list[End]:
    """Send headers and bodies that never end, a little of them each second."""
    heads = (
        send(server, trickle(HEAD, b"X: y\r\n"), pause=1) for _ in range(HALF_HEADS)
    )
    body = authorized(server.access_token) + b"Content-Length: 100000\r\n\r\n{"
    bodies = (send(server, trickle(body, b" "), pause=1) for _ in range(HALF_BODIES))
    return await asyncio.gather(*heads, *bodies)


async def pipelined(server: Server) -> list[End]:
    """Send far more requests than wait for answers, on many connections at once."""
    requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * PIPELINED
    return await asyncio.gather(*(send(server, [requests]) for _ in range(PIPELINES)))


def trickle(first: bytes, more: bytes) -> Iterator[bytes]:
    yield first
    yield from repeat(more)


def one(*pieces: bytes | Iterable[bytes]) -> Callable[[Server], Awaitable[list[End]]]:
    """Return what sends these pieces, one after the other."""

    async def attack(server: Server) -> list[End]:
        return [await send(server, flat())]

    def flat() -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from piece

    return attack


def authorized(server_access: str) -> bytes:
    return POST + f"Authorization: Bearer {server_access}\r\n".encode()


def attacks(server: Server) -> dict[str, Callable[[Server], Awaitable[list[End]]]]:
    block = b"y" * 65536
    prompt = authorized(server.access_token)
    sized = prompt + b"Content-Length: %d\r\n\r\n"
    chunked = prompt + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + block + b"\r\n"
    bomb = gzip.compress(json.dumps({"prompt": "y" * 50 * MEGABYTE}).encode())
    return {
        f"{HALF_HEADS} half heads and {HALF_BODIES} half bodies": half_requests,
        "one header of 64 MB": one(HEAD + b"X: ", [block] * 1024, b"\r\n\r\n"),
        "200,000 headers": one(HEAD, [b"X: y\r\n" * 100] * 2000, b"\r\n"),
        "a body of 10 MB": one(sized % (10 * MEGABYTE), [block] * 160),
        "a body of 10 MB in chunks": one(chunked, [chunk] * 160, b"0\r\n\r\n"),
        "a body without an end": one(chunked, repeat(chunk)),
        "40 MB of trailers": one(
            POST.replace(b"/prompt/", b"/login/"),
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
            [b"a:b\r\n" * 10_000] * 800,
        ),
        f"{PIPELINED:,} requests at once on each of {PIPELINES} connections": pipelined,
        f"50 MB that gzip made {len(bomb) // 1024} KB of": one(
            prompt + b"Content-Encoding: gzip\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(bomb),
            bomb,
        ),
    }


async def login(server: Server, username: str, password: str) -> float:
    """Log in, or fail to, from an address of its own; return how long it took."""
    body = json.dumps({"username": username, "password": password}).encode()
    request = (
        b"POST /login/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
    numbers = (random.randrange(1, 255) for _ in range(3))
    address = "127." + ".".join(map(str, numbers))
    end = await send(server, [request], address=address)
    assert end.status in {200, 401, 503}, end
    return end.seconds if end.status != 503 else -1


async def guesses(server: Server) -> tuple[float, float]:
    """Return the median seconds that a wrong password and an unknown user take."""
    wrong: list[float] = []
    unknown: list[float] = []
    for number in range(1, PAIRS + 1):
        both = [
            (wrong, f"user-{number}"),
            (unknown, f"nobody-{number}"),
        ]
        random.shuffle(both)
        for times, username in both:
            times.append(await login(server, username, "wrong"))
    return statistics.median(wrong), statistics.median(unknown)


async def malformed(server: Server) -> Counter[int]:
    """Return the statuses that access tokens with a wrong letter are answered with."""
    statuses: Counter[int] = Counter()

    async def try_some(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(count):
            known = new_access_token()
            forged = known[:-1] + ("y" if known[-1] == "x" else "x")
            writer.write(HEAD.replace(b"healthz", b"me/"))
            writer.write(f"Authorization: Bearer {forged}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            statuses[int(head.split()[1])] += 1
        writer.close()

    await asyncio.gather(*(try_some(MALFORMED // 8) for _ in range(8)))
    return statuses


async def read_export(server: Server) -> None:
    """Read the attacker's whole history."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /history/export HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer %b\r\n\r\n" % server.access_token.encode()
    )
    while await reader.read(MEGABYTE):
        pass
    writer.close()


def described(ends: Sequence[End]) -> str:
    statuses = Counter(str(end.status or "hung up") for end in ends)
    told = ", ".join(f"{n} x {status}" for status, n in statuses.items())
    sent = max(end.sent for end in ends) / MEGABYTE
    seconds = max(end.seconds for end in ends)
    return f"{told}; over after {seconds:.1f} s, {sent:.1f} MB sent"


async def measure(server: Server, words: Sequence[str]) -> None:
    await asyncio.gather(*(login(server, "user-0", PASSWORD) for _ in range(4)))
    # SQLite's caches are full on a server that has been used.
    await asyncio.gather(*(read_export(server) for _ in range(4)))

    for name, attack in (attacks(server) | costly(server)).items():
        if words and not any(word in name for word in words):
            continue
        async with watching(server) as watch:
            ends = await attack(server)
            await asyncio.sleep(3)
        print(
            f"{name}: {described(ends)}; +{watch.more_memory:.1f} MB;"
            f" others waited {watch.p99:.1f} ms"
        )

    if words:
        return
    async with watching(server) as watch:
        began = time.perf_counter()
        statuses = await malformed(server)
        took = time.perf_counter() - began
    print(
        f"{MALFORMED:,} malformed access tokens: {dict(statuses)} in {took:.1f} s;"
        f" +{watch.more_memory:.1f} MB; others waited {watch.p99:.1f} ms"
    )

    wrong, unknown = await guesses(server)
    print(
        f"{PAIRS} wrong passwords and unknown users by turns: {wrong * 1000:.2f} and"
        f" {unknown * 1000:.2f} ms at the median, {unknown / wrong - 1:+.1%}"
    )

    async with watching(server) as watch:
        names = [f"user-{n}" for n in range(USERS - LOGINS, USERS)]
        took_each = await asyncio.gather(
            *(login(server, name, PASSWORD) for name in names)
        )
    refused = sum(took < 0 for took in took_each)
    print(
        f"{LOGINS} logins at once: {LOGINS - refused} let in, {refused} told to come"
        f" back, the last one after {max(took_each):.1f} s;"
        f" +{watch.more_memory:.1f} MB; others waited {watch.p99:.1f} ms"
    )

    crowd = asyncio.create_task(half_requests(server))
    await asyncio.sleep(3)
    took = await asyncio.to_thread(server.terminate)
    await crowd
    print(f"SIGTERM among {HALF_HEADS + HALF_BODIES} half requests: {took:.1f} s")


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with upstream() as base_url, running(base_url, MODELS) as server:
        asyncio.run(measure(server, sys.argv[1:]))


if __name__ == "__main__":
    main()
