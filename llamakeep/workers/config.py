"""The configuration that a parent passes to its workers."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from llamakeep.settings import Settings
from llamakeep.settings.upstreams import NONE, LocalUpstream, Upstreams, read_text


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
    upstreams: list[str] | None = None
    """What the parent last read of `llamakeep.toml`; see `pack_upstreams`."""
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


def pack_upstreams(said: Upstreams) -> list[str] | None:
    """Return the file's path, its text and the keys, as JSON; `None` without a file."""
    if said.path is None:
        return None
    keys = {
        name: each.key.get_secret_value()
        for name, each in said.upstreams.items()
        if not isinstance(each, LocalUpstream) and each.key is not None
    }
    return [str(said.path), said.text, json.dumps(keys)]


def unpack_upstreams(packed: Sequence[str] | None, settings: Settings) -> Upstreams:
    """Return what `pack_upstreams` was given, whatever became of its files."""
    if packed is None:
        return NONE
    path, text, keys = packed
    return read_text(text, Path(path), settings, keys=json.loads(keys))


def unpack(packed: dict[str, Any]) -> Settings:
    """Return the settings that `pack` serialised."""
    return Settings(**packed, _env_file=None)  # type: ignore[call-arg] # BaseSettings has it
