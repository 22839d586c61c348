"""The engine: it accepts prompts, has them answered, and lets everybody follow."""

from llamakeep.keeper.keeper import Keeper
from llamakeep.keeper.updates import (
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
