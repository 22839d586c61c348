"""
The OpenAPI document, and a Swagger UI page that shows it.

Swagger UI comes from a CDN, pinned by its hash. The page's Content-Security-Policy
permits no other script and no other connection.
"""

import asyncio
from base64 import b64encode
from hashlib import sha256

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse

from llamakeep.api.http.links import prefix_of
from llamakeep.schemas.bodies import read_docstrings
from llamakeep.schemas.json_text import JsonResponse

router = APIRouter(include_in_schema=False)

_SOURCE = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0/"
_SCRIPT_HASH = "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9"
_STYLE_HASH = "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I"
_START = """
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  layout: "BaseLayout",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
_PAGE = f"""\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>llamakeep</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{_SOURCE}swagger-ui.css"
  integrity="{_STYLE_HASH}" crossorigin="anonymous">
<div id="page">
  The page needs JavaScript, and a program from {_SOURCE}.
  The same without either: <a href="openapi.json">openapi.json</a>.
</div>
<script src="{_SOURCE}swagger-ui-bundle.js"
  integrity="{_SCRIPT_HASH}" crossorigin="anonymous"></script>
<script>{_START}</script>
</html>
"""
_START_HASH = b64encode(sha256(_START.encode()).digest()).decode()
_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src '{_SCRIPT_HASH}' 'sha256-{_START_HASH}' {_SOURCE}",
        # Swagger UI sets inline styles.
        f"style-src 'unsafe-inline' {_SOURCE}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


@router.get("/docs")
async def page() -> HTMLResponse:
    """Return the page that shows the API."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.get("/openapi.json")
async def document(request: Request) -> JsonResponse:
    """Return the OpenAPI document, which is built at the first request."""
    app: FastAPI = request.app
    await asyncio.to_thread(read_docstrings)
    prefix = prefix_of(request)
    servers = {"servers": [{"url": prefix}]} if prefix else {}
    return JsonResponse(app.openapi() | servers)
