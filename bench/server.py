"""
llamakeep as it is shipped, with one route more that counts commits.

    python -m bench.server PORT UPSTREAM DATABASE
"""

import sys

import uvicorn
from fastapi import Request
from pydantic import HttpUrl

from bench.cores import pin_to_server_core
from llamakeep.app import create_app
from llamakeep.settings import Settings


def main(port: int, upstream: str, database: str) -> None:
    settings = Settings(
        demo=True,
        database_url=f"sqlite:///{database}",
        openai_base_url=HttpUrl(upstream),
        openai_models=("bench",),
    )
    app = create_app(settings)

    @app.get("/commits")
    async def commits(request: Request) -> int:
        return int(request.app.state.storage.commits)

    uvicorn.run(
        app,
        port=port,
        http="httptools",
        loop="asyncio",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    pin_to_server_core()
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
