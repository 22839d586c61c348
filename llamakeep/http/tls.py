"""TLS settings of connections."""

import asyncio
import ssl

_known: ssl.SSLContext | None = None


async def tls_context() -> ssl.SSLContext:
    """Return a context that trusts the system's certificates."""
    global _known  # noqa: PLW0603 - it takes 20 ms and a thread, once
    if _known is None:
        _known = await asyncio.to_thread(ssl.create_default_context)
    return _known
