"""The one HTTP request the emulator sends: it knows no redirects and no secrets."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from llamakeep.http import Client, HttpError


async def post(
    url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
) -> int | None:
    """Send `body` to `url` and return the status of the answer, if one came."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        client = Client(
            f"{parts.scheme}://{host}",
            connect_timeout=seconds,
            silence_timeout=seconds,
            uses_proxies=False,
        )
    except ValueError:
        return None
    try:
        request = client.send(
            "POST",
            parts._replace(scheme="", netloc="").geturl(),
            headers={"user-agent": "llamakeep-emulator", **headers},
            content=body,
            seconds=seconds,
            keep_alive=False,
        )
        async with request as response:
            return response.status
    except HttpError:
        return None
    finally:
        await client.close()
