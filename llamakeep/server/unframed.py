"""Responses to HTTP/1.0 clients, which cannot read chunked bodies."""

from typing import Any


def send_unframed(cycle: Any) -> None:
    """Send a response of unknown length to HTTP/1.0: the connection ends it."""
    send = cycle.send
    is_unframed = False

    async def send_plainly(message: Any) -> None:
        nonlocal is_unframed
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            is_unframed = b"content-length" not in names
            if is_unframed:
                cycle.chunked_encoding = False
        elif is_unframed:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.send = send_plainly
    cycle.waiting_for_100_continue = False  # HTTP/1.0 has no interim responses
