"""The OpenAPI document, which the page at `/docs` shows."""

import asyncio

from fastapi import APIRouter, FastAPI, Request

from llamakeep.api.http.links import prefix_of
from llamakeep.schemas.bodies import read_docstrings
from llamakeep.schemas.json_text import JsonResponse

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def document(request: Request) -> JsonResponse:
    """Return the OpenAPI document, which is built at the first request."""
    app: FastAPI = request.app
    await asyncio.to_thread(read_docstrings)
    prefix = prefix_of(request)
    servers = {"servers": [{"url": prefix}]} if prefix else {}
    return JsonResponse(app.openapi() | servers)
