"""The configuration that a parent passes to its workers."""

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from llamakeep.settings import Settings


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """
    A worker's configuration: one line of JSON on its standard input.

    A worker gets the parent's settings instead of reading them, since `.env` may have
    changed when it is restarted. They have secrets, so they are not passed as
    arguments, which other users of this computer could read.
    """

    import_path: list[str]
    """The parent's `sys.path`."""
    settings: dict[str, Any]
    setup_token: str
    """The token that creates the first administrator, the same in all workers."""
    dead_nodes: list[str]
    """Ids of workers that have died, whose runs can be taken over at once."""
    is_kept: bool = False
    """Whether another process keeps the socket, such as systemd."""

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as JSON."""
        return asdict(self)


def pack(settings: Settings) -> dict[str, Any]:
    """Return `settings` with their secrets as JSON."""
    values = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings
    }
    packed: dict[str, Any] = to_jsonable_python(values)
    return packed


def unpack(packed: dict[str, Any]) -> Settings:
    """Return the settings that `pack` serialised."""
    return Settings(**packed, _env_file=None)  # type: ignore[call-arg] # BaseSettings has it
