"""Replicate's HTTP API on this machine, for development and tests."""

from replicate_emulator.app import create_emulator
from replicate_emulator.rules import Rule
from replicate_emulator.server import DEFAULT_PORT, open_emulator, serve
from replicate_emulator.settings import EmulatorSettings

__all__ = [
    "DEFAULT_PORT",
    "EmulatorSettings",
    "Rule",
    "create_emulator",
    "open_emulator",
    "serve",
]
