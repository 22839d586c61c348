"""The keys of upstreams, which are in variables and in files."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import SettingsError

from llamakeep.settings.secret_files import read_secret
from llamakeep.settings.upstreams.aliases import Report
from llamakeep.settings.upstreams.model import OpenAIUpstream, ReplicateUpstream
from llamakeep.settings.values import INVISIBLE

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class KeyReader:
    """
    Reads keys.

    Args:
        variables: Those of the environment and of `.env`.
        folder: Where relative paths of files begin.
        report: Takes mistakes.
    """

    def __init__(
        self, variables: Mapping[str, str | None], folder: Path, report: Report
    ) -> None:
        self._variables = variables
        self._folder = folder
        self._report = report

    def key_of(
        self, name: str, upstream: OpenAIUpstream | ReplicateUpstream
    ) -> SecretStr | None:
        """Return the key of an upstream, if it has one."""
        place = ("upstreams", name)
        variable, file = upstream.key_variable, upstream.key_file
        secret = None
        if variable is not None and file is not None:
            self._report(
                (*place, "key_file"),
                f"upstreams.{name} has key_variable and key_file. Keep one of them.",
                None,
            )
        elif variable is not None:
            secret = self._of_variable(name, variable)
        elif file is not None:
            secret = self._of_file(name, file)
        elif isinstance(upstream, ReplicateUpstream):
            self._report(
                place,
                f"upstreams.{name} needs an API token. Name the variable that has it: "
                'key_variable = "REPLICATE_API_TOKEN".',
                None,
            )
        if secret is None:
            return None
        if INVISIBLE.search(secret):
            key = "key_file" if variable is None else "key_variable"
            self._report(
                (*place, key),
                f"upstreams.{name}.{key}: what it names has a character that no key "
                "has. Copy the key again.",
                None,
            )
        return SecretStr(secret)

    def _of_variable(self, name: str, variable: str) -> str | None:
        secret = (self._variables.get(variable) or "").strip() or None
        if secret is None:
            # It may be the key itself, which is not to be told.
            called = f" {variable}" if _VARIABLE.fullmatch(variable) else ""
            self._report(
                ("upstreams", name, "key_variable"),
                f"upstreams.{name}.key_variable: the variable{called} is not set. Set "
                "it in the environment or in `.env`, or name another.",
                None,
            )
        return secret

    def _of_file(self, name: str, file: Path) -> str | None:
        what = f"upstreams.{name}.key_file"
        try:
            return read_secret(what, self._folder / file.expanduser()).strip()
        except SettingsError as error:
            reason = str(error)
        except RuntimeError:  # of `~name`
            reason = f"{what}: there is no user of that name"
        fix = "Write the key into that file, or name another."
        self._report(("upstreams", name, "key_file"), f"{reason}. {fix}", None)
        return None
