"""A router whose paths answer with and without their trailing slash."""

import re
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.dependencies.utils import get_parameterless_sub_dependant
from fastapi.routing import APIRoute

from llamakeep.api.http.json_bodies import JsonRoute
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.queries import Queries, check_of
from llamakeep.api.prompts.submission import Endpoint, PromptRoute
from llamakeep.errors import InvalidRequest
from llamakeep.schemas.json_text import JsonResponse


class Router(APIRouter):
    """Serves `/prompt` and `/prompt/` without a redirect, which costs a round trip."""

    def __init__(self, *, queries: Queries = Queries.OWN, **options: Any) -> None:
        super().__init__(
            default_response_class=JsonResponse, route_class=JsonRoute, **options
        )
        self._queries = queries

    def add_api_route(
        self, path: str, endpoint: Callable[..., Any], **options: Any
    ) -> None:
        """Add one route for both paths, since two take twice as long to match."""
        if self._queries is Queries.OWN:
            refusals = problem_responses(InvalidRequest)
            options["responses"] = refusals | (options.get("responses") or {})
        super().add_api_route(path, endpoint, **options)
        route = self.routes[-1]
        assert isinstance(route, APIRoute)
        if (check := check_of(route, self._queries)) is not None:
            if isinstance(route, PromptRoute):
                route.check_query = check
            else:
                depends = get_parameterless_sub_dependant(
                    depends=Depends(check), path=route.path_format
                )
                route.dependant.dependencies.append(depends)
        pattern = route.path_regex.pattern.removesuffix("$").removesuffix("/")
        route.path_regex = re.compile(f"{pattern}/?$")

    def prompts(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Declare a POST route that accepts prompts; see `PromptRoute`."""

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
