"""DNS lookups in threads of their own."""

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

IpAddress = IPv4Address | IPv6Address


async def look_up(host: str, port: int) -> Sequence[IpAddress]:
    """
    Return the addresses of a host name, or `host` itself if it is an address.

    Each lookup has a daemon thread: it cannot be interrupted, and one dead name server
    must not block the default executor or the process's exit.

    Raises:
        OSError: The name does not exist, or cannot be looked up.
    """
    with suppress(ValueError):
        return [ip_address(host)]
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Sequence[IpAddress]] = loop.create_future()

    def settle(found: Sequence[IpAddress] | OSError) -> None:
        if future.done():
            return
        if isinstance(found, OSError):
            future.set_exception(found)
        else:
            future.set_result(found)

    def work() -> None:
        found: Sequence[IpAddress] | OSError
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [ip_address(entry[4][0]) for entry in entries]
        except UnicodeError:  # a label that is too long
            found = socket.gaierror()
        except OSError as error:
            found = error
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=work, name="resolver", daemon=True).start()
    return await future
