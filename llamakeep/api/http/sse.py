"""Server-sent events as they are sent (https://html.spec.whatwg.org/#server-sent-events)."""

import re

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which clients pass over."""

END = b"\n\n"
"""Ends an event whose `opening` was sent before."""

_LINE_ENDS = re.compile(b"\r\n|\r|\n")


def opening(event: str) -> bytes:
    """Return an event up to its data, which has no line breaks and comes later."""
    return b"event: %b\ndata: " % event.encode()


def encode(data: bytes, event: str | None = None, event_id: str | None = None) -> bytes:
    """
    Return an event.

    Each line of `data` gets one of its own. A client that comes back sends `event_id`,
    which there is only with `event`.
    """
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_ENDS.split(data))
    if event is None:
        return b"data: %b\n\n" % data
    if event_id is None:
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    return b"event: %b\nid: %b\ndata: %b\n\n" % (
        event.encode(),
        event_id.encode(),
        data,
    )
