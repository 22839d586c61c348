"""The addresses of a name, looked up where nobody else has to wait for it."""

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

IpAddress = IPv4Address | IPv6Address


async def look_up(host: str, port: int) -> Sequence[IpAddress]:
    """
    Return the addresses of a name, or the address that `host` is.

    It takes a thread of its own, which the process does not wait for: looking up cannot
    be interrupted, and one dead server of names must not stop everything else that is
    done in threads.

    Raises:
        OSError: There is no such name, or nobody can tell.
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
