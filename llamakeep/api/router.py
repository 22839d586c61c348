"""A router whose paths answer with and without their trailing slash."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from llamakeep.api.prompt_route import Endpoint, PromptRoute


class Router(APIRouter):
    """Serves `/prompt` where `/prompt/` is declared: a redirect costs a round trip."""

    def add_api_route(
        self, path: str, endpoint: Callable[..., Any], **options: Any
    ) -> None:
        """Add the route, and its twin, which the documentation does not repeat."""
        super().add_api_route(path, endpoint, **options)
        twin = path.removesuffix("/") if path.endswith("/") else path + "/"
        options |= {"include_in_schema": False, "responses": None}
        super().add_api_route(twin, endpoint, **options)

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
