"""Whom to trust."""

import asyncio
import ssl
from functools import cache


async def tls_context() -> ssl.SSLContext:
    """Return what trusts the certificates that this system trusts."""
    return await asyncio.to_thread(_create)


@cache
def _create() -> ssl.SSLContext:
    return ssl.create_default_context()
