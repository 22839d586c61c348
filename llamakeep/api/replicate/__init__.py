"""Replicate's API: its words in, its words out, and the same engine in between."""

from llamakeep.api.replicate import (
    creating,
    errors,
    models,
    reading,
    unserved,
    webhooks,
)
from llamakeep.api.router import Router

router = Router()
for _part in (creating, reading, models, webhooks, unserved):
    router.routes.extend(_part.router.routes)

__all__ = ["errors", "router"]
