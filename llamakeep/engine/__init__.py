"""The engine: it accepts prompts, has them answered, and lets everybody follow."""

from llamakeep.engine.keeper import Keeper
from llamakeep.engine.updates import (
    Delta,
    Ended,
    Position,
    Reset,
    Silence,
    StoredText,
    Update,
)

__all__ = [
    "Delta",
    "Ended",
    "Keeper",
    "Position",
    "Reset",
    "Silence",
    "StoredText",
    "Update",
]
