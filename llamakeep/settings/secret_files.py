"""Secrets that are in files, as Docker, Kubernetes and systemd hand them out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsError,
)

SUFFIX = "_FILE"
LARGEST = 64 * 1024
"""How many bytes a file may have; a larger one is the wrong one."""


class SecretFiles(PydanticBaseSettingsSource):
    """
    Reads the file that `LLAMAKEEP_…_FILE` names, for each setting that is secret.

    The first of `variables` that names one counts.
    """

    def __init__(
        self,
        settings_class: type[BaseSettings],
        variables: Sequence[Mapping[str, str | None]],
    ) -> None:
        super().__init__(settings_class)
        self._variables = variables

    def get_field_value(
        self, field: FieldInfo, field_name: str
    ) -> tuple[Any, str, bool]:
        """Return what is in the field's file, if it has one."""
        for name in names_of(self.settings_cls, field_name, field):
            for variables in self._variables:
                if path := variables.get((name + SUFFIX).lower()):
                    if variables.get(name.lower()):
                        raise SettingsError(
                            f"{name} and {name}{SUFFIX} are both set, keep one of them"
                        )
                    return read_secret(name + SUFFIX, Path(path)), field_name, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the settings that are in files."""
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
            if is_secret(name, field)
        }
        return {name: value for name, value in found.items() if value is not None}


def is_secret(name: str, field: FieldInfo) -> bool:
    """Return whether a setting may be in a file."""
    kinds = get_args(field.annotation) or (field.annotation,)
    # A database's address may have a password in it.
    return SecretStr in kinds or name in {"database_url", "database_direct_url"}


def names_of(
    settings_class: type[BaseSettings], name: str, field: FieldInfo
) -> Sequence[str]:
    """Return the variables that a setting is read from."""
    aliases = getattr(field.validation_alias, "choices", None)
    prefix = settings_class.model_config.get("env_prefix", "")
    return list(aliases or [f"{prefix}{name}".upper()])


def read_secret(variable: str, path: Path) -> str:
    """
    Return the secret in the file that a variable names.

    Raises:
        SettingsError: It cannot be read, or has none.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # the latter of a path with NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"{variable}: {path} cannot be read: {reason}") from error
    if len(content) > LARGEST:
        raise SettingsError(f"{variable}: {path} is too large to be a secret")
    try:
        secret = content.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{variable}: {path} is not text in UTF-8") from error
    if not secret:
        raise SettingsError(f"{variable}: {path} is empty")
    return secret
