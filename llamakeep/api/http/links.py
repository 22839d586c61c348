"""URLs in responses, as clients reach them through proxies."""

from fastapi import Request

from llamakeep.services import services_of


def prefix_of(request: Request) -> str:
    """Return the path prefix that a proxy puts before this server's paths, or ``."""
    scope = request.scope
    found: str = scope.get("prefix") or scope.get("root_path", "").rstrip("/")
    return found


def origin_of(request: Request) -> str:
    """Return how URLs of this server begin, without a slash at the end."""
    public_url = services_of(request).settings.public_url
    if public_url is not None:
        return str(public_url).rstrip("/")
    prefix: str = request.scope.get("prefix", "")
    return str(request.base_url).rstrip("/") + prefix
