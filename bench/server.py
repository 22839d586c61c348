"""
llamakeep as it is shipped, with one route more that counts commits.

    python -m bench.server PORT UPSTREAM DATABASE
"""

import asyncio
import socket
import sys
from pathlib import Path

from fastapi import FastAPI, Request
from pydantic import HttpUrl

from bench.cores import pin_to_server_core
from llamakeep.app import create_app
from llamakeep.credentials.passwords import hash_password
from llamakeep.server import run, serve
from llamakeep.settings import Settings
from llamakeep.storage import open_storage

USERNAME, PASSWORD = "bench", "correct horse battery staple"


def main(port: int, upstream: str, database: str) -> None:
    settings = Settings(
        database_url=f"sqlite:///{database}",
        openai_base_url=HttpUrl(upstream),
        openai_models=("bench",),
        local_model=Path("none"),
    )
    asyncio.run(add_user(settings))
    app = create_app(settings)

    @app.get("/commits")
    async def commits(request: Request) -> int:
        return int(request.app.state.services.storage.commits)

    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    run(serve(app, listener, when_ready=nothing))


async def nothing(_: FastAPI) -> None:
    """Print nothing: the benchmark sees by itself when the server is ready."""


async def add_user(settings: Settings) -> None:
    async with open_storage(settings.database_url) as storage:
        if await storage.find_credentials(USERNAME) is None:
            await storage.add_user(USERNAME, hash_password(PASSWORD))


if __name__ == "__main__":
    pin_to_server_core()
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
