"""`python -m llamakeep.emulator`: the emulator in a process of its own."""

import argparse
from pathlib import Path

from pydantic import TypeAdapter

from llamakeep.emulator.rules import Rule
from llamakeep.emulator.server import DEFAULT_PORT, serve
from llamakeep.emulator.settings import EmulatorSettings


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(prog="python -m llamakeep.emulator")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--settings", type=Path, help="a JSON file with settings")
    parser.add_argument("--rules", type=Path, help="a JSON file with a list of rules")
    given = parser.parse_args()
    settings = EmulatorSettings()
    if given.settings is not None:
        settings = EmulatorSettings.model_validate_json(given.settings.read_bytes())
    rules: list[Rule] = []
    if given.rules is not None:
        rules = TypeAdapter(list[Rule]).validate_json(given.rules.read_bytes())
    print(f"Replicate's API is at http://{given.host}:{given.port}/v1", flush=True)  # noqa: T201 - a person started this
    serve(given.host, given.port, settings, rules=rules)


if __name__ == "__main__":
    main()
