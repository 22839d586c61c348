"""`python -m replicate_emulator`: the emulator in a process of its own."""

import argparse
from pathlib import Path

from pydantic import TypeAdapter

from llamakeep.providers.base import Provider
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.settings import Settings
from replicate_emulator.rules import Rule
from replicate_emulator.server import DEFAULT_PORT, serve
from replicate_emulator.settings import EmulatorSettings


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(prog="python -m replicate_emulator")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--settings", type=Path, help="a JSON file with settings")
    parser.add_argument("--rules", type=Path, help="a JSON file with a list of rules")
    parser.add_argument(
        "--answers",
        default="echo",
        help="who answers: echo (the default), local (the embedded model), or the base "
        "URL of an OpenAI-compatible server",
    )
    given = parser.parse_args()
    settings = EmulatorSettings()
    if given.settings is not None:
        settings = EmulatorSettings.model_validate_json(given.settings.read_bytes())
    rules: list[Rule] = []
    if given.rules is not None:
        rules = TypeAdapter(list[Rule]).validate_json(given.rules.read_bytes())
    provider = new_provider(given.answers)
    print(f"Replicate's API is at http://{given.host}:{given.port}/v1", flush=True)  # noqa: T201 - a person started this
    serve(
        given.host,
        given.port,
        settings,
        rules=rules,
        provider=provider,
        origins=Settings().cors_origins,
    )


def new_provider(answers: str) -> Provider | None:
    """Return who answers, or `None` for echoes."""
    match answers:
        case "echo":
            return None
        case "local":
            return LocalProvider(Settings())
        case base_url:
            return OpenAIProvider(base_url)


if __name__ == "__main__":
    main()
