"""A router whose paths answer with and without their trailing slash."""

import re
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from llamakeep.api.prompt_route import Endpoint, PromptRoute


class Router(APIRouter):
    """Serves `/prompt` where `/prompt/` is declared: a redirect costs a round trip."""

    def add_api_route(
        self, path: str, endpoint: Callable[..., Any], **options: Any
    ) -> None:
        """Add the route, one for both: two take twice as long to make and to try."""
        super().add_api_route(path, endpoint, **options)
        route = self.routes[-1]
        assert isinstance(route, APIRoute)
        pattern = route.path_regex.pattern.removesuffix("$").removesuffix("/")
        route.path_regex = re.compile(f"{pattern}/?$")

    def prompts(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Declare where prompts are sent to; see `PromptRoute`."""

        def add(endpoint: Endpoint) -> Endpoint:
            self.add_api_route(
                path,
                endpoint,
                methods=["POST"],
                route_class_override=PromptRoute,
                **options,
            )
            return endpoint

        return add
