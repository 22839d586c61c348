"""What llama.cpp says of the model that it runs, beside OpenAI's API."""

from collections.abc import Mapping
from typing import Any

from llamakeep.http import Client
from llamakeep.providers.http import read_body, translated_errors
from llamakeep.providers.json_text import read_json

LEARNING_TIMEOUT = 2.0
_OK = 200


async def fetch_props(
    base_url: str, headers: Mapping[str, str], *, who: str, most: int
) -> Any | None:
    """
    Return what `/props` says, in `most` bytes, if it is JSON.

    Raises:
        ProviderError: It cannot be asked.
    """
    root = Client(
        base_url.rstrip("/").removesuffix("/v1"),
        connect_timeout=LEARNING_TIMEOUT,
        silence_timeout=LEARNING_TIMEOUT,
        headers=headers,
    )
    try:
        with translated_errors(who):
            get = root.send("GET", "/props", seconds=LEARNING_TIMEOUT, keep_alive=False)
            async with get as response:
                if response.status != _OK:
                    return None
                body = await read_body(response, most)
        return read_json(body)
    except ValueError:
        return None
    finally:
        await root.close()
