"""Replicate's HTTP API on this machine, for development and tests."""

from llamakeep.emulator.app import create_emulator
from llamakeep.emulator.rules import Rule
from llamakeep.emulator.server import DEFAULT_PORT, open_emulator, serve
from llamakeep.emulator.settings import EmulatorSettings

__all__ = [
    "DEFAULT_PORT",
    "EmulatorSettings",
    "Rule",
    "create_emulator",
    "open_emulator",
    "serve",
]
