"""What a worker has to know before it starts."""

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from llamakeep.settings import Settings


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """
    One line of JSON on the worker's standard input.

    The settings are the parent's, and not read anew: a worker that is started in a
    month must not find another `.env`. They have secrets, so they are nowhere where
    others on this computer could read them.
    """

    import_path: list[str]
    """Where the parent found its modules."""
    settings: dict[str, Any]
    setup_token: str
    """Creates the first administrator, whichever worker is asked."""
    dead_nodes: list[str]
    """As whom earlier workers held runs, which are free now."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def pack(settings: Settings) -> dict[str, Any]:
    """Return `settings`, with their secrets, as JSON has it."""
    values = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings
    }
    packed: dict[str, Any] = to_jsonable_python(values)
    return packed


def unpack(packed: dict[str, Any]) -> Settings:
    """Return the settings that `pack` was given."""
    return Settings(**packed, _env_file=None)  # type: ignore[call-arg] # BaseSettings has it
