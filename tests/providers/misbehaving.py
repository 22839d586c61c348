"""An OpenAI-compatible server that misbehaves in the way that its model is called."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

SSE = "text/event-stream"
JSON = "application/json"


class Abort:
    """Break the connection off."""


class Way(NamedTuple):
    """One way to answer."""

    pieces: Sequence[bytes | Abort]
    media_type: str | None = SSE
    status: int = 200
    headers: Mapping[str, str] = {}
    before: bytes = b""
    refused_name: str = ""
    """A parameter that there must not be."""


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {} if delta is None else delta}
    return {"model": "m", "choices": [choice | {"finish_reason": finish}]} | more


def event(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def said(text: Any, finish: Any = None, **more: Any) -> bytes:
    return event(chunk({"content": text}, finish, **more))


def raw(content: bytes) -> bytes:
    """An event whose content is these bytes, within the quotes."""
    return b'data: {"choices":[{"index":0,"delta":{"content":"' + content + b'"}}]}\n\n'


def used(given: Any, taken: Any, **more: Any) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": given, "completion_tokens": taken}} | more


def failing(status: int, body: Any, **headers: str) -> Way:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Way(
        [data] if data else [],
        JSON,
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


DONE = event("[DONE]")
STOP = event(chunk({}, "stop"))
USAGE = event({"choices": []} | used(5, 7))
HELLO = [said("Hello"), said(" world"), STOP, USAGE, DONE]
WHOLE = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello world"},
            "finish_reason": "stop",
        }
    ]
} | used(5, 7)
FIRE = {"message": "on fire"}
NO = {"message": "no"}
SLOW = {"error": {"message": "slow down"}}
LONG_NUMBER = int("9" * 400)


def within(*pieces: bytes) -> list[bytes]:
    """A whole answer that begins with something else."""
    return [*pieces, *HELLO]


def ends(old: bytes, new: bytes) -> list[bytes]:
    return [piece.replace(old, new) for piece in HELLO]


def ways() -> Mapping[str, Way]:
    """Return every way to answer, by the model's name."""
    whole = json.dumps(WHOLE).encode()
    hello = b"".join(HELLO)
    overloaded = {"error": {"message": "model overloaded", "code": 503}}
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    return {
        # As it should be, or nearly.
        "ok": Way(HELLO),
        "each byte": Way([hello[at : at + 1] for at in range(len(hello))]),
        "crlf": Way(ends(b"\n", b"\r\n")),
        "cr": Way(ends(b"\n", b"\r")),
        "mixed ends": Way(
            [
                piece.replace(b"\n\n", end)
                for piece, end in zip(
                    HELLO,
                    [b"\r\n\n", b"\n\r\n", b"\r\r", b"\n\n", b"\r\n\r\n"],
                    strict=True,
                )
            ]
        ),
        "no space": Way(ends(b"data: ", b"data:")),
        "bom": Way([b"\xef\xbb", b"\xbf", *HELLO]),
        "blank lines first": Way([b"\n\n", b"\r\n", *HELLO]),
        "comments": Way(within(b": PROCESSING\n\n", b":\n\n")),
        "retry and id": Way(within(b"retry: 10\n\n", b"id: 7\n\n")),
        "103": Way(HELLO, before=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        "201": Way(HELLO, status=201),
        "no max_tokens": Way(HELLO, refused_name="max_tokens"),
        "no max_completion_tokens": Way(HELLO, refused_name="max_completion_tokens"),
        "neither": Way(HELLO, refused_name="max_"),
        "br": Way(HELLO, headers={"content-encoding": "br"}),
        # Keeping the connection alive.
        "ping event": Way(within(b"event: ping\ndata: {}\n\n")),
        "ping data": Way(within(b"data: ping\n\n")),
        "ping object": Way(within(event({"type": "ping"}))),
        "empty data": Way(within(b"data:\n\n", b"data: \n\n", b"data\n\n")),
        "null data": Way(within(event(None), event([]), event(0), event("keep"))),
        "choices null": Way(within(event({"choices": None}))),
        "choices missing": Way(within(event({"id": "c1"}))),
        "choices object": Way(within(event({"choices": {}}))),
        "choices empty": Way(within(event({"choices": [], "filtered": [{}]}))),
        "delta null": Way(within(event({"choices": [{"index": 0, "delta": None}]}))),
        "choice null": Way(within(event({"choices": [None]}))),
        "content false": Way(within(said(False))),
        "no delta": Way(within(event({"choices": [{"index": 0}]}))),
        "content null": Way(within(event(chunk({"role": "x", "content": None})))),
        "unread after finish": Way(
            [*HELLO[:3], b"data: {broken\n\n", b"data: bye\n\n", USAGE, DONE]
        ),
        "error after finish": Way([*HELLO[:4], event({"error": "late"})]),
        # What tells the end.
        "done space": Way([*HELLO[:-1], b"data: [DONE] \n\n"]),
        "done spaces": Way([*HELLO[:-1], b"data:   [DONE]\n\n"]),
        "done small": Way([*HELLO[:-1], event("[done]")]),
        "done string": Way([*HELLO[:-1], event('"[DONE]"')]),
        "done one end": Way([*HELLO[:-1], b"data: [DONE]\n"]),
        "done no end": Way([*HELLO[:-1], b"data: [DONE]"]),
        "no done": Way(HELLO[:-1]),
        "after done": Way([*HELLO, b"data: {broken\n\n", said("more"), b"\0\xff"]),
        "only done event": Way([*HELLO[:2], USAGE, b"event: done\ndata: {}\n\n"]),
        "abort after finish": Way([*HELLO[:2], STOP, USAGE, Abort()]),
        "no last end": Way([said("Hello world"), USAGE, STOP.rstrip()]),
        "single ends": Way([b"".join(ends(b"\n\n", b"\n"))]),
        "single ends apart": Way(ends(b"\n\n", b"\n")),
        "single ends ping": Way([b"data: ping\n", *ends(b"\n\n", b"\n")]),
        "finish empty": Way([said("Hello", ""), said(" world", "null"), STOP, USAGE]),
        "finish number": Way([said("Hello"), said(" world", 1), USAGE]),
        # What it is, whatever it is called.
        "no type": Way(HELLO, None),
        "plain type": Way(HELLO, "text/plain; charset=utf-8"),
        "octets": Way(HELLO, "application/octet-stream"),
        "upper type": Way(HELLO, "Text/Event-Stream; Charset=UTF-8"),
        "events as json": Way(HELLO, JSON),
        "events as html": Way(HELLO, "text/html"),
        "json": Way([whole], JSON),
        "json upper": Way([whole], "Application/JSON"),
        "json no type": Way([whole], None),
        "json as events": Way([whole]),
        "json in an event": Way([b"data: " + whole + b"\n\n"]),
        "json bom": Way([b"\xef\xbb\xbf\n", whole], JSON),
        "json list": Way([b"[" + whole + b"]"], JSON),
        "json indented": Way([json.dumps(WHOLE, indent=2).encode()], JSON),
        "json garbage": Way([whole, b"\n<!-- served in 3 ms -->"], JSON),
        "json lines": Way([one.removeprefix(b"data: ") for one in HELLO], JSON),
        "json together": Way(
            [one.removeprefix(b"data: ").strip() for one in HELLO[:-1]], JSON
        ),
        "prefix lost": Way([HELLO[0], HELLO[1].removeprefix(b"data: "), *HELLO[2:]]),
        # What is text.
        "parts": Way(
            [said([{"type": "text", "text": "Hello"}, {"text": " world"}]), *HELLO[2:]]
        ),
        "part": Way([said({"type": "text", "text": "Hello world"}), *HELLO[2:]]),
        "strings": Way([said(["Hello", " world"]), *HELLO[2:]]),
        "parts whole": Way(
            [
                json.dumps(
                    {
                        "choices": [
                            {
                                "message": {
                                    "content": [{"type": "text", "text": "Hello world"}]
                                },
                                "finish_reason": "stop",
                            }
                        ]
                    }
                    | used(5, 7)
                ).encode()
            ],
            JSON,
        ),
        "text field": Way(
            [
                event({"choices": [{"index": 0, "text": "Hello world"}]}),
                event({"choices": [{"text": "", "finish_reason": "stop"}]}),
                USAGE,
            ]
        ),
        "text values": Way(
            [said([{"type": "text", "text": {"value": "Hello world"}}]), *HELLO[2:]]
        ),
        "text of a delta": Way([event(chunk({"text": "Hello world"})), *HELLO[2:]]),
        "text beside a role": Way(
            [
                event(
                    {"choices": [{"delta": {"role": "x"}, "text": "Hello world"}]},
                ),
                *HELLO[2:],
            ]
        ),
        "whole message last": Way(
            [
                *HELLO[:2],
                event(
                    {
                        "choices": [
                            {
                                "delta": {},
                                "message": {"content": "Hello world"},
                                "finish_reason": "stop",
                            }
                        ]
                    }
                ),
                *HELLO[3:],
            ]
        ),
        "events in a list": Way(
            [
                event([chunk({"content": "Hello"}), chunk({"content": " world"})]),
                *HELLO[2:],
            ]
        ),
        "long number": Way([b'data: {"created":' + b"9" * 5000 + b"}\n\n", *HELLO]),
        "thinking list": Way(
            within(said([{"type": "thinking", "thinking": [{"text": "hmm"}]}]))
        ),
        "reasoning": Way(
            within(
                event(chunk({"reasoning_content": "hmm", "content": None})),
                event(chunk({"reasoning": "hmm"})),
            )
        ),
        "text after finish": Way([said("Hello", "stop"), said(" world"), USAGE, DONE]),
        "finish each": Way([said("Hello", "stop"), said(" world", "stop"), USAGE]),
        "error null": Way([said("Hello", error=None), *HELLO[1:]]),
        "index string": Way(
            [
                event({"choices": [{"index": "0", "delta": {"content": "Hello"}}]}),
                event({"choices": [{"index": "1", "delta": {"content": "Bye"}}]}),
                *HELLO[1:],
            ]
        ),
        "index missing": Way(
            [event({"choices": [{"delta": {"content": "Hello"}}]}), *HELLO[1:]]
        ),
        "two choices": Way(
            [
                event(
                    {
                        "choices": [
                            {"index": 1, "delta": {"content": "B"}},
                            {"index": 0, "delta": {"content": "Hello"}},
                        ]
                    }
                ),
                event({"choices": [{"index": 1, "delta": {}, "finish_reason": "x"}]}),
                *HELLO[1:],
            ]
        ),
        "choices from one": Way(ends(b'"index": 0', b'"index": 1')),
        "choices from one, whole": Way(
            [whole.replace(b'"index": 0', b'"index": 1')], JSON
        ),
        "choice one before choice zero": Way(
            [event({"choices": [{"index": 1, "delta": {"content": "B"}}]}), *HELLO]
        ),
        "usage in choice": Way(
            [
                *HELLO[:2],
                event({"choices": [{"finish_reason": "stop"} | used(5, 7)]}),
            ]
        ),
        "usage of groq": Way(
            [*HELLO[:3], event({"choices": [], "x_groq": used(5, 7)})]
        ),
        "usage floats": Way([*HELLO[:3], event(used(5.0, 7.0)), DONE]),
        "usage strings": Way([*HELLO[:3], event(used("5", "7")), DONE]),
        "usage zeros": Way([*HELLO[:4], event(used(0, 0)), DONE]),
        "usage null": Way([*HELLO[:4], said("", usage=None), DONE]),
        "usage each": Way(
            [said("Hello", **used(5, 1)), said(" world", **used(5, 7)), STOP]
        ),
        "names are numbers": Way(
            [said("Hello", model=7, id=3, created="x"), *HELLO[1:]]
        ),
        # Text that is none.
        "nul": Way([said("a\0b"), STOP]),
        "pair cut": Way([raw(b"x\\ud83d"), raw(b"\\ude00y"), STOP]),
        "pair whole": Way([raw(b"x\\ud83d\\ude00y"), STOP]),
        "half": Way([raw(b"x\\ud83d y"), STOP]),
        "half last": Way([raw(b"x\\ud83d"), STOP]),
        "half then text": Way([raw(b"x\\ud83d"), said("y"), STOP]),
        "half then end": Way([raw(b"x\\ud83d"), DONE]),
        "bad utf-8": Way([raw(b"x\xff\xfey"), STOP]),
        "raw controls": Way([raw(b"a\tb\0c"), STOP]),
        "cut utf-8": Way([said("one"), raw(b"x\xed\x95"), raw(b"y"), STOP]),
        "nan": Way(
            [b'data: {"choices":[{"delta":{"content":"x"},"p":NaN}]}\n\n', STOP]
        ),
        # Other ends.
        "refusal": Way([event(chunk({"refusal": "I cannot"})), STOP]),
        "reasoning only": Way(
            [event(chunk({"reasoning_content": "hm"})), event(chunk({}, "length"))]
        ),
        "tool": Way(
            [
                event(chunk({"tool_calls": [{"index": 0, "function": {"name": "f"}}]})),
                DONE,
            ]
        ),
        "empty": Way([STOP, USAGE, DONE]),
        "no finish": Way([said("Hello"), DONE]),
        "finish long": Way([said("He"), event(chunk({}, "x" * 100))]),
        "filter": Way([said("He"), event(chunk({}, "content_filter"))]),
        "eos": Way([said("He"), event(chunk({}, "eos"))]),
        # Failures.
        "choices from one, cut": Way(
            [HELLO[0].replace(b'"index": 0', b'"index": 1'), Abort()]
        ),
        "many values": Way([event({"x": [0] * 100_000}), *HELLO]),
        "ollama": Way(
            [
                b'{"model":"m","message":{"content":"Hello"},"done":false}\n',
                b'{"model":"m","message":{"content":""},"done":true}\n',
            ],
            "application/x-ndjson",
        ),
        "ollama whole": Way([b'{"response":"Hello","done":true}'], JSON),
        "anthropic": Way(
            [b"event: message_start\n" + event({"type": "message_start"})]
        ),
        "gemini": Way([b'[{"candidates":[]}\n,\n{"candidates":[]}]'], JSON),
        "responses": Way([event({"type": "response.created", "response": {}})]),
        "llama.cpp": Way([event({"content": "Hello", "stop": False})]),
        "tgi": Way([event({"token": {"text": "Hello"}, "generated_text": None})]),
        "cut off": Way([said("Hello")]),
        "cut in a name": Way([said("Hello"), b"dat"]),
        "prose later": Way([said("Hello"), b"Internal error: on fire\n"]),
        "cut in an event": Way([said("Hello"), b'data: {"choices": [{"del']),
        "abort": Way([said("Hello"), Abort()]),
        "abort at once": Way([Abort()]),
        "nothing": Way([]),
        "only done": Way([DONE]),
        "only pings": Way([b": ping\n\n"] * 3),
        "prose": Way([b"upstream connect error or disconnect"], "text/plain"),
        "page": Way([b"\n <!DOCTYPE html><p>Welcome"], "text/html"),
        "gzip": Way([gzip.compress(hello)], headers={"content-encoding": "gzip"}),
        "gzip unsaid": Way([gzip.compress(hello)]),
        "finish error": Way([said("He"), event(chunk({}, "error"))]),
        "error event": Way(
            [said("He"), event({"error": {"message": "on fire"}}), DONE]
        ),
        "error with choices": Way(
            [said("He"), event(chunk({}, "error", error={"message": "on fire"}))]
        ),
        "error named": Way(
            [said("He"), b'event: error\ndata: {"message":"on fire"}\n\n']
        ),
        "error named text": Way([said("He"), b"event: error\ndata: on fire\n\n"]),
        "error named last": Way([said("He"), b"data: on fire\nevent: error"]),
        "error line": Way([said("He"), b'error: {"code":500,"message":"on fire"}\n\n']),
        "error raw": Way([b'{"error":{"message":"on fire"}}']),
        "error raw later": Way([said("He"), b'{"error":{"message":"on fire"}}\n\n']),
        "error object": Way([event({"object": "error", "message": "on fire"})]),
        "error list": Way([b'[{"error": {"message": "on fire"}}]'], JSON),
        "error lines": Way(
            [HELLO[0].removeprefix(b"data: "), b'{"error": "on fire"}\n'], JSON
        ),
        "error ok": failing(200, {"error": {"message": "on fire", "code": 503}}),
        "error detail ok": failing(200, {"detail": "on fire"}),
        "error first": Way(
            [event({"error": {"message": "slow down", "type": "rate_limit_error"}})]
        ),
        "error string": failing(500, {"error": "on fire"}),
        "error bom": failing(500, b'\xef\xbb\xbf{"error": {"message": "on fire"}}'),
        "error binary": failing(500, gzip.compress(b'{"error": "on fire"}')),
        "error nested": failing(500, {"error": json.dumps({"message": "on fire"})}),
        "error fields": failing(
            422, {"detail": [{"loc": ["body", "top_k"], "msg": "Not permitted"}]}
        ),
        "error text": failing(500, b"on fire"),
        "error cut": failing(
            500, b'{"error": {"message": "on fire", "x": "' + b"x" * 99999
        ),
        "error html": failing(502, b"<html><body>Bad Gateway</body></html>"),
        "error empty": failing(500, b""),
        "overloaded": failing(503, overloaded),
        "forbidden": failing(403, {"message": "on fire"}),
        "secret": failing(500, {"error": {"message": "key s3cr3t-key, sk-abcdefgh12"}}),
        "context": failing(
            400,
            {
                "error": {
                    "message": "maximum context length is 8192 tokens",
                    "param": "messages",
                    "code": "context_length_exceeded",
                }
            },
        ),
        "context 500": failing(
            500,
            {
                "error": {
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                    "code": 500,
                }
            },
        ),
        "context of vllm": failing(
            400,
            {
                "object": "error",
                "message": "This model's maximum context length is 10 tokens.",
                "type": "BadRequestError",
                "code": 400,
            },
        ),
        "context in a stream": Way(
            [event({"error": {"message": "?", "code": "context_length_exceeded"}})]
        ),
        "filtered": failing(
            400,
            {"error": {"message": "no", "code": "content_filter", "param": "prompt"}},
        ),
        "filtered inside": failing(
            400,
            {
                "error": {
                    "message": "no",
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
        ),
        "rejected": failing(
            400,
            {
                "error": {
                    "message": "no",
                    "param": "temperature",
                    "code": "unsupported_value",
                }
            },
        ),
        "no model": failing(
            404, {"error": {"message": "?", "code": "model_not_found"}}
        ),
        "no model of ollama": failing(404, {"error": "model 'x' not found"}),
        "no model of litellm": failing(
            400, {"error": {"message": "Invalid model name passed in model=x"}}
        ),
        "no model of openrouter": failing(
            400, {"error": {"message": "x is not a valid model ID", "code": 400}}
        ),
        "limited": failing(429, SLOW, retry_after="7"),
        "limited date": failing(429, SLOW, retry_after=date),
        "limited ms": failing(429, SLOW, retry_after_ms="1500", retry_after="9"),
        "limited words": failing(429, {"error": {"message": "try again in 1m2.5s"}}),
        "limited bad": failing(429, SLOW, retry_after="soon"),
        "limited negative": failing(429, SLOW, retry_after="-5"),
        "limited huge": failing(429, SLOW, retry_after="9" * 20),
        "limited far": failing(
            429, SLOW, retry_after="Mon, 20 Nov 99999999999999999999 10:00:00 GMT"
        ),
        "limited digits": failing(429, {"error": {"retry_after": LONG_NUMBER}}),
        "unavailable": failing(503, SLOW, retry_after="7"),
        "unavailable far": failing(
            503, SLOW, retry_after="Mon, 20 Nov 99999999999999999999 10:00:00 GMT"
        ),
        "redirect": Way(
            [], status=307, headers={"location": "https://u:pw@elsewhere/v1?k=s3cr3t"}
        ),
        "204": Way([], None, 204),
    }


def refused(name: str) -> Way:
    message = f"Unsupported parameter: {name!r} is not supported with this model."
    return failing(400, {"error": {"message": message, "param": name}})


@asynccontextmanager
async def misbehaving(
    heard: list[dict[str, Any]] | None = None,
) -> AsyncIterator[str]:
    """Run the server, and yield its base URL; it appends what it hears to a list."""
    known = ways()
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = head.lower().partition(b"content-length: ")[2]
                body = await reader.readexactly(int(size.split(b"\r\n")[0] or 0))
                asked = json.loads(body)
                if heard is not None:
                    heard.append(asked)
                way = known[asked["model"]]
                for name in asked:
                    if way.refused_name and name.startswith(way.refused_name):
                        way = refused(name)
                if not await _play(way, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"
    server.close()
    for handler in handlers:
        handler.cancel()
    await asyncio.gather(*handlers, return_exceptions=True)


async def _play(way: Way, writer: asyncio.StreamWriter) -> bool:
    lines = [f"HTTP/1.1 {way.status} -"]
    if way.media_type is not None:
        lines.append(f"content-type: {way.media_type}")
    lines.extend(f"{name}: {value}" for name, value in way.headers.items())
    if way.status != 204:
        lines.append("transfer-encoding: chunked")
    writer.write(way.before + "\r\n".join([*lines, "", ""]).encode())
    for piece in way.pieces:
        await writer.drain()
        await asyncio.sleep(0.001 if len(way.pieces) < 20 else 0)
        if isinstance(piece, Abort):
            await asyncio.sleep(0.02)
            writer.transport.abort()
            return False
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    if way.status != 204:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True
