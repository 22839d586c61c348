"""
The floor: a bare pass-through without login, parsing or storage.

    python -m bench.passthrough PORT UPSTREAM
"""

import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

from bench.cores import pin_to_server_core

CLIENT = web.AppKey("client", aiohttp.ClientSession)


def create_app(upstream: str) -> web.Application:
    async def forward(request: web.Request) -> web.StreamResponse:
        async with request.app[CLIENT].post(
            upstream,
            data=await request.read(),
            headers={"content-type": "application/json"},
        ) as answer:
            if answer.content_type == "text/event-stream":
                return await pass_on(request, answer)
            return web.Response(
                body=await answer.read(), content_type=answer.content_type
            )

    async def client(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            app[CLIENT] = session
            yield

    app = web.Application()
    app.cleanup_ctx.append(client)
    app.router.add_post("/prompt/", forward)
    return app


async def pass_on(
    request: web.Request, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    async for data in answer.content.iter_any():
        await response.write(data)
    await response.write_eof()
    return response


if __name__ == "__main__":
    pin_to_server_core()
    uvloop.install()
    app = create_app(sys.argv[2] + "/chat/completions")
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        backlog=4096,
    )
