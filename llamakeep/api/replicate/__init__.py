"""Replicate's HTTP API: predictions, models and streams."""

from llamakeep.api.http.router import Router
from llamakeep.api.replicate import (
    creating,
    errors,
    models,
    reading,
    unserved,
    webhooks,
)

router = Router()
for _part in (creating, reading, models, webhooks, unserved):
    router.routes.extend(_part.router.routes)

__all__ = ["errors", "router"]
