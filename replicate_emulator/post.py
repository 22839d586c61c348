"""The one HTTP request the emulator sends: it knows no redirects and no secrets."""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

_USER_AGENT = "llamakeep-emulator"


async def post(
    url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
) -> int | None:
    """Send `body` to `url` and return the status of the answer, if one came."""
    try:
        async with asyncio.timeout(seconds):
            return await _post(url, headers, body)
    except (OSError, TimeoutError, ValueError, IndexError, asyncio.LimitOverrunError):
        return None


async def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    parts = urlsplit(url)
    context = None
    if parts.scheme == "https":
        # Reads the certificates of the system, which may take a while.
        context = await asyncio.to_thread(ssl.create_default_context)
    port = parts.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = [
            f"POST {path} HTTP/1.1",
            f"host: {parts.netloc.rpartition('@')[2]}",
            f"user-agent: {_USER_AGENT}",
            f"content-length: {len(body)}",
            "connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
