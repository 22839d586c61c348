"""The engine: it accepts prompts, has them answered, and streams the answers."""

from llamakeep.engine.engine import Engine
from llamakeep.engine.updates import (
    Delta,
    Ended,
    ItemDelta,
    NextItem,
    Position,
    Reset,
    Silence,
    StoredText,
    Update,
)

__all__ = [
    "Delta",
    "Ended",
    "Engine",
    "ItemDelta",
    "NextItem",
    "Position",
    "Reset",
    "Silence",
    "StoredText",
    "Update",
]
