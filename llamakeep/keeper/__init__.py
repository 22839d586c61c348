"""The engine: it accepts prompts, has them answered, and lets everybody follow."""

from llamakeep.keeper.keeper import Keeper
from llamakeep.keeper.live import Delta, Ended, Position, Reset, Silence, Update

__all__ = ["Delta", "Ended", "Keeper", "Position", "Reset", "Silence", "Update"]
