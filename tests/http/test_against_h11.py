"""
The client and h11 read the same bytes: they find the same response, or none.

Where both find one, it is the same one, without an exception. Where only one does, the
reason is listed here.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.parsing import Verdict, by_h11, by_the_client

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
HELLO = b"content-length: 5\r\n\r\nhello"
IN_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"

STRICTER: dict[str, tuple[bytes, bytes]] = {
    "a line ends with CR LF: another reader may not take LF alone for an end": (
        rb"(?<!\r)\n",
        OK + b"x: y\n" + HELLO,
    ),
    "no header goes on in the next line (RFC 9112, 5.2)": (
        rb"\n[ \t]",
        OK + b"x: y\r\n z\r\n" + HELLO,
    ),
    "there is one Content-Length, with one value, although a list of equal ones may be "
    "repaired": (
        rb"(?i)content-length:[^,]*(,|.*content-length:)",
        OK + b"content-length: 5\r\n" + HELLO,
    ),
    "a Transfer-Encoding has no tab after it: the parser would read until the end": (
        rb"(?i)transfer-encoding:.*\t",
        OK + b"transfer-encoding: chunked\t\r\n\r\n" + IN_CHUNKS,
    ),
    "no value has control characters": (
        rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]",
        OK + b"x: \x7f\r\n" + HELLO,
    ),
    "a chunk's size has no blank around it, and an extension is a name and a value": (
        rb"(?i)\n[0-9a-f]+([ \t]|;([^\w]|[^\r]*[^\w=\r]|[^\r]*=[^\w]))",
        CHUNKED + b"5; a=b\r\nhello\r\n0\r\n\r\n",
    ),
    "no trailer says how long the body is": (
        rb"(?i)\n0+\r\n.*(content-length|transfer-encoding)",
        CHUNKED + b"5\r\nhello\r\n0\r\ncontent-length: 3\r\n\r\n",
    ),
    "the version is one that exists": (
        rb"^HTTP/(?!0\.9|1\.[01]|2\.0)",
        b"HTTP/1.2 200 OK\r\n" + HELLO,
    ),
    "there is either a length or chunks": (
        rb"(?i)content-length:.*transfer-encoding:|transfer-encoding:.*content-length:",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" + IN_CHUNKS,
    ),
    "an interim response does not end the connection": (
        rb"(?i)HTTP/(1\.0|\d\.\d 1\d\d\b.*connection: *close)",
        b"HTTP/1.1 103 -\r\nconnection: close\r\n\r\n" + OK + HELLO,
    ),
    "an interim response has no body": (
        rb"(?i)HTTP/\d\.\d 1\d\d\b.*(content-length|transfer-encoding)",
        b"HTTP/1.1 199 -\r\ncontent-length: 5\r\n\r\n" + OK + HELLO,
    ),
}
"""What the client refuses though h11 reads it: why, a pattern, and an example."""

LOOSER: dict[str, tuple[bytes, bytes]] = {
    "empty lines before a response are no response": (
        rb"^[\r\n]|\n\r\n\r?\n?HTTP",
        b"\r\n" + OK + HELLO,
    ),
    "a reason is not read": (
        rb"HTTP/\d\.\d \d\d\d [^\r\n]*[\0-\x08\x0b-\x1f\x7f]",
        b"HTTP/1.1 200 \0\r\n" + HELLO,
    ),
    "RTSP looks like HTTP/1.0, and its connection is not used again": (
        rb"RTSP/",
        b"RTSP/1.0 200 OK\r\n" + HELLO,
    ),
    "zeros before a chunk's size do not change it, up to the bound of what is around a "
    "body": (
        rb"\n0{5,}",
        CHUNKED + b"0" * 21 + IN_CHUNKS,
    ),
    "trailers are not read": (
        rb"(?i)\n0+\r\n.*transfer-encoding",
        CHUNKED + b"5\r\nhello\r\n0\r\ntransfer-encoding: gzip\r\n\r\n",
    ),
}
"""What the client reads though h11 refuses it: why, a pattern, and an example."""

SAME = [
    OK + HELLO,
    OK + b"\r\nhello",
    OK + b"content-length: 0\r\n\r\n",
    OK + b"content-length: 005\r\n\r\nhello",
    OK + b"content-length:\t5 \t\r\n\r\nhello",
    OK + b"x:\r\n" + HELLO,
    OK + b"x: \xff\r\n" + HELLO,
    OK + b"transfer-encoding: \t Chunked  \r\n\r\n" + IN_CHUNKS,
    OK + b"upgrade: x\r\nconnection: upgrade\r\n" + HELLO,
    CHUNKED + IN_CHUNKS,
    CHUNKED + b"005;a=b\r\nhello\r\nA\r\n, 0123456\n\r\n00\r\nx: y\r\n\r\n",
    b"HTTP/1.1 100 -\r\n\r\nHTTP/1.1 103 -\r\nlink: x\r\n\r\n" + OK + HELLO,
    b"HTTP/1.1 103 -\r\ncontent-length: 5\r\n\r\n" + OK + HELLO,
    b"HTTP/1.1 204 -\r\n" + HELLO,
    b"HTTP/1.1 304 -\r\ntransfer-encoding: chunked\r\n\r\n" + IN_CHUNKS,
    b"HTTP/1.1 205 -\r\n" + HELLO,
    b"HTTP/1.1 200\r\n" + HELLO,
    b"HTTP/1.0 200 OK\r\n\r\nhello",
    b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + IN_CHUNKS,
]
"""What both read."""

REFUSED = [
    *(
        OK + header + b"\r\n\r\nhello"
        for header in (
            b"content-length: 5\r\ncontent-length: 6",
            b"content-length: 5, 6",
            b"content-length: +5",
            b"content-length: -5",
            b"content-length: 0x5",
            b"content-length: 5_0",
            b"content-length: 5 5",
            b"content-length: 5;",
            b"content-length:",
            b"content-length : 5",
            b" content-length: 5",
            b"content-length: 99999999999999999999",
            b"content-length",
            b": 5",
            b"a b: c",
            b"x: \0",
            b"x: y\rcontent-length: 5",
            b"transfer-encoding: identity",
            b"transfer-encoding:",
        )
    ),
    *(
        OK + header + b"\r\n\r\n" + IN_CHUNKS
        for header in (
            b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            b"transfer-encoding: chunked, chunked",
            b"transfer-encoding: chunked,",
            b"transfer-encoding: gzip, chunked",
            b"transfer-encoding: \x0bchunked",
            b"transfer-encoding : chunked",
        )
    ),
    *(
        CHUNKED + chunks
        for chunks in (
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello, world\r\n0\r\n\r\n",
            b"f" * 20 + b"\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
            b"5\r\nhello\r\n0\r\n",
            b"5\r\nhello\r\n",
        )
    ),
    b"HTTP/1.1 101 OK\r\n\r\n" + OK + HELLO,
    b"HTTP/1.1 20 OK\r\n" + HELLO,
    b"HTTP/1.1 2000 OK\r\n" + HELLO,
    b"HTTP/1.1 099 OK\r\n" + HELLO,
    b"HTTP/1.1 200OK\r\n" + HELLO,
    b"HTTP/1.1  200 OK\r\n" + HELLO,
    b"http/1.1 200 OK\r\n" + HELLO,
    b"GET / HTTP/1.1\r\n" + HELLO,
    b"ICY 200 OK\r\n" + HELLO,
]
"""What neither reads."""


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with closing(asyncio.new_event_loop()) as loop:
        yield loop


def verdicts(
    loop: asyncio.AbstractEventLoop, pieces: Sequence[bytes], *, is_closed: bool = True
) -> tuple[Verdict, Verdict]:
    ours = loop.run_until_complete(by_the_client(pieces, is_closed=is_closed))
    return ours, by_h11(pieces, is_closed=is_closed)


def is_listed(data: bytes, differences: dict[str, tuple[bytes, bytes]]) -> bool:
    return any(
        re.search(pattern, data, re.DOTALL) for pattern, _ in differences.values()
    )


@pytest.mark.parametrize("data", SAME)
def test_what_is_right_is_read_like_h11_does(
    loop: asyncio.AbstractEventLoop, data: bytes
) -> None:
    ours, h11s = verdicts(loop, [data])

    assert ours == h11s
    assert ours.is_whole


@pytest.mark.parametrize("data", REFUSED)
def test_what_is_wrong_is_refused_like_h11_does(
    loop: asyncio.AbstractEventLoop, data: bytes
) -> None:
    ours, h11s = verdicts(loop, [data])

    assert not ours.is_whole
    assert not h11s.is_whole


@pytest.mark.parametrize("why", STRICTER)
def test_the_client_refuses_more_than_h11(
    loop: asyncio.AbstractEventLoop, why: str
) -> None:
    pattern, data = STRICTER[why]
    ours, h11s = verdicts(loop, [data])

    assert re.search(pattern, data, re.DOTALL)
    assert (ours.is_whole, h11s.is_whole) == (False, True)


@pytest.mark.parametrize("why", LOOSER)
def test_the_client_reads_more_than_h11(
    loop: asyncio.AbstractEventLoop, why: str
) -> None:
    pattern, data = LOOSER[why]
    ours, h11s = verdicts(loop, [data])

    assert re.search(pattern, data, re.DOTALL)
    assert (ours.is_whole, h11s.is_whole) == (True, False)


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("data", SAME)
def test_a_response_that_is_cut_anywhere_is_cut_for_both(
    loop: asyncio.AbstractEventLoop, data: bytes
) -> None:
    for end in range(len(data)):
        ours, h11s = verdicts(loop, [data[:end]])

        assert ours == h11s, data[:end]


@pytest.mark.parametrize("data", SAME + REFUSED)
def test_the_size_of_its_pieces_does_not_change_a_response(
    loop: asyncio.AbstractEventLoop, data: bytes
) -> None:
    whole = loop.run_until_complete(by_the_client([data], is_closed=True))
    for size in range(1, len(data)):
        ours = loop.run_until_complete(
            by_the_client(in_pieces(data, size), is_closed=True)
        )

        assert ours.is_whole == whole.is_whole
        assert ours == whole or not whole.is_whole


STARTS = [
    *[b"HTTP/1.1 200 OK\r\n"] * 5,
    b"HTTP/1.1 200\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 204 -\r\n",
    b"HTTP/1.1 304 -\r\n",
    b"HTTP/1.1 500 Internal Server Error\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 199 -\r\ncontent-length: 3\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 -\r\n",
    b"HTTP/1.1 2000 -\r\n",
    b"HTTP/2 200\r\n",
]
LENGTHS = [b"5"] * 5 + [b"0", b"11", b"05", b"+5", b"-5", b"0x5", b"5,5", b"9" * 25]
ENCODINGS = [b"chunked"] * 8 + [b"Chunked ", b"\tchunked", b"chunked\t", b"gzip", b""]
HEADERS = [
    *[b""] * 12,
    *(b"content-length: " + length + b"\r\n" for length in LENGTHS),
    *(b"Transfer-Encoding:" + encoding + b"\r\n" for encoding in ENCODINGS),
    b"x:\r\n",
    b"x: \xe9\r\n",
    b"x : y\r\n",
    b"x: y\r\n z\r\n",
    b"connection: close\r\n",
    b"content-length : 5\r\n",
    b": y\r\n",
    b"x\r\n",
]
CHUNKS = [
    *[b"5\r\nhello\r\n"] * 5,
    b"A;a=b\r\n, 01234567\r\n",
    b"005;a\r\nhello\r\n",
    b"+5\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5; a=b\r\nhello\r\n",
    b"5\nhello\n",
    b"4\r\nhello\r\n",
    b"f" * 18 + b"\r\nhello\r\n",
]
ENDS = [b"0\r\n\r\n"] * 5 + [
    b"00;a=b\r\nx: y\r\n\r\n",
    b"0\r\nx\r\n\r\n",
    b"0\r\n\n",
    b"",
]
BODIES = [
    *[b"hello"] * 15,
    b"hello" + OK + HELLO,
    b"",
    *(chunk + end for chunk in CHUNKS for end in ENDS),
]
BYTES = [b"", *(bytes([each]) for each in b"\r\n \t\0\x0b\x7f\xff:;,=-+05aH/")]


def response_of(choices: bytes) -> bytes:
    """
    Return a response, which may be wrong in what it says, have a wrong byte, or be cut.

    Drawing each part by itself takes Hypothesis longer than the parsers do.
    """
    start, first, second, body, change, place, byte = choices
    data = b"".join([
        STARTS[start % len(STARTS)],
        HEADERS[first % len(HEADERS)],
        HEADERS[second % len(HEADERS)],
        b"\r\n",
        BODIES[body % len(BODIES)],
    ])  # fmt: skip
    place %= len(data) + 1
    match change % 8:
        case 5:
            return data[:place]
        case 6 | 7 as kind:
            return data[:place] + BYTES[byte % len(BYTES)] + data[place + kind - 6 :]
    return data


@pytest.mark.slow
@settings(max_examples=800)
@given(
    st.binary(min_size=7, max_size=7).map(response_of),
    st.integers(1, 50),
    st.booleans(),
)
def test_the_client_and_h11_find_the_same_response(
    loop: asyncio.AbstractEventLoop, data: bytes, size: int, is_closed: bool
) -> None:
    ours, h11s = verdicts(loop, in_pieces(data, size), is_closed=is_closed)

    if ours.is_whole and h11s.is_whole:
        assert ours == h11s
    elif ours.is_whole:
        assert is_listed(data, LOOSER)
    elif h11s.is_whole:
        assert is_listed(data, STRICTER)
