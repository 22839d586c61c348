"""Where settings come from, and which of them counts."""

from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
)

from llamakeep.settings.secret_files import SecretFiles
from llamakeep.settings.values import is_kubernetes


def sources_of(
    settings_class: type[BaseSettings],
    environment: PydanticBaseSettingsSource,
    dotenv: PydanticBaseSettingsSource,
) -> tuple[PydanticBaseSettingsSource, ...]:
    """Return the environment first, then the files that it names, then `.env`."""
    assert isinstance(environment, EnvSettingsSource)
    assert isinstance(dotenv, DotEnvSettingsSource)
    for source in (environment, dotenv):
        # What is blank is as good as not set.
        source.env_vars = {
            name: value
            for name, value in source.env_vars.items()
            if value and value.strip() and not is_kubernetes(name, value)
        }
    files = SecretFiles(settings_class, [environment.env_vars, dotenv.env_vars])
    return environment, files, dotenv
