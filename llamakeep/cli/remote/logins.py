"""
Logins at servers, in a file of this user's own.

It has access tokens, as the files of other command lines do: only the user can read it.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from llamakeep.cli.remote.caller import with_scheme
from llamakeep.cli.terminal import give_up
from llamakeep.domain import utc_now

NAME = "logins.json"


@dataclass(frozen=True, slots=True)
class KeptLogin:
    """An access token for one server."""

    token: str
    expires_at: str
    """As the server says it."""

    @property
    def is_over(self) -> bool:
        """Whether the server would refuse it."""
        try:
            return datetime.fromisoformat(self.expires_at) <= utc_now()
        except (TypeError, ValueError):
            return False


def path() -> Path:
    """Return where the file is, in this user's folder of settings."""
    return Path(typer.get_app_dir("llamakeep")) / NAME


def find(server: str) -> KeptLogin | None:
    """Return the login at a server, if there is one."""
    return _read().get(_name(server))


def keep(server: str, login: KeptLogin) -> None:
    """Keep a login in place of the one before."""
    _write({**_read(), _name(server): login})


def forget(server: str) -> None:
    """Delete the login at a server."""
    kept = dict(_read())
    if kept.pop(_name(server), None) is not None:
        _write(kept)


def _name(server: str) -> str:
    return with_scheme(server).rstrip("/")


def _read() -> Mapping[str, KeptLogin]:
    try:
        found: Any = json.loads(path().read_bytes())
        return {name: KeptLogin(**login) for name, login in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        give_up(
            f"The logins in {path()} cannot be read: {error}. Delete the file, and "
            "log in again."
        )


def _write(logins: Mapping[str, KeptLogin]) -> None:
    """Replace the file at once; a new one of `tempfile` is its user's alone (0600)."""
    content = json.dumps({name: asdict(login) for name, login in logins.items()})
    try:
        path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path().parent, prefix=NAME)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(content)
        Path(name).replace(path())
    except OSError as error:
        give_up(f"The login cannot be kept in {path()}: {error}.")
