"""Variables that look like settings and are none, and so change nothing."""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

from pydantic_settings import DotEnvSettingsSource

from llamakeep.errors import wording
from llamakeep.settings import Settings
from llamakeep.settings.secret_files import SUFFIX, is_secret, names_of

PREFIX = "LLAMAKEEP_"
OTHERS = {"LLAMAKEEP_SERVER", "LLAMAKEEP_ACCESS_TOKEN"}
"""What the command line reads."""
EXAMPLES = {
    "database_url": "sqlite:///llamakeep.db",
    "database_direct_url": "postgresql://llamakeep@db.example:5432/llamakeep",
    "node_address": "10.0.0.5:8001",
    "config": "/etc/llamakeep/llamakeep.toml",
    "default_model": "local:smollm2-135m-instruct",
    "replicate_base_url": "https://api.replicate.com",
    "public_url": "https://llm.example.com",
    "replicate_webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "trusted_proxies": "127.0.0.1,10.1.0.0/16",
    "root_path": "/llm",
    "webhook_networks": "10.1.0.0/16,10.2.0.0/16",
    "openai_base_url": "http://127.0.0.1:11434/v1",
    "openai_models": "llama3.2,qwen3",
    "openai_extra_fields": "min_p,repetition_penalty",
    "local_model": "/srv/models/llama-3.2-1b.gguf",
    "rate_limit": "120/minute",
    "address_rate_limit": "600/minute",
    "login_rate_limit": "10/minute",
    "valkey_url": "valkey://127.0.0.1:6379",
    "retry_interrupted": "true",
    "demo": "true",
    "webhooks": "true",
    "user_limits": '{"tokens_per_day": 100000}',
    "server_limits": '{"dollars_per_month": 50}',
    "prices": '{"openai:big": {"input": 0.2, "output": 0.8}}',
    "max_body_size": "2MiB",
    "max_import_size": "1GiB",
    "max_header_size": "64KiB",
    "cors_origins": "https://chat.example.com,https://notes.example.com",
    "retention_days": "90",
    "local_threads": "4",
    "prompted_tools": "false",
    "log_level": "info",
    "metrics_port": "9464",
    "proxy_user_header": "Remote-User",
    "oidc_issuer": "https://login.example.com/realms/staff",
    "oidc_client_id": "llamakeep",
    "oidc_allowed_domains": "example.com,example.org",
    "oidc_admin_groups": "llm-admins",
    "metrics_networks": "127.0.0.1,10.1.0.0/16",
    "otlp_endpoint": "http://127.0.0.1:4318",
    "otlp_traces_endpoint": "http://127.0.0.1:4318/v1/traces",
    "trace_networks": "127.0.0.1,10.1.0.0/16",
}
"""How values are written; other settings are numbers, whose defaults show it."""

_TESTS = ("LLAMAKEEP_TEST_", "LLAMAKEEP_FUZZ_")
_KUBERNETES = re.compile(
    r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?$"
)
_ADDRESS = re.compile(r"\w+://.*|[\d.:a-fA-F]+|tcp|udp")
"""What Kubernetes sets in every container where a service is called `llamakeep`."""


def warnings() -> list[str]:
    """Return a line for each variable that looks like a setting and is ignored."""
    in_file = DotEnvSettingsSource(Settings).env_vars
    return [
        *(_warning(name, "the environment") for name in _unknown(os.environ)),
        *(_warning(name, "`.env`") for name in _unknown(in_file)),
    ]


def files_with_secrets() -> list[Path]:
    """Return the files that secrets are read from: those of `_FILE`, and `.env`."""
    in_file = DotEnvSettingsSource(Settings).env_vars
    given = {name.lower(): value for name, value in os.environ.items()}
    names = {
        variable.lower()
        for name, field in Settings.model_fields.items()
        if is_secret(name, field)
        for variable in names_of(Settings, name, field)
    }
    found = [
        Path(path)
        for name in sorted(names)
        if (
            path := given.get(name + SUFFIX.lower(), in_file.get(name + SUFFIX.lower()))
        )
    ]
    if any(in_file.get(name) for name in names):
        found.append(Path(".env"))
    return [each for each in found if each.exists()]


def pass_on_from_file() -> None:
    """Put OpenTelemetry's variables in `.env` into the environment, which it reads."""
    for name, value in DotEnvSettingsSource(Settings).env_vars.items():
        if name.startswith("otel_") and value:
            os.environ.setdefault(name.upper(), value)


def known() -> set[str]:
    """Return the variables that are read."""
    found = set(OTHERS)
    for name, field in Settings.model_fields.items():
        variables = names_of(Settings, name, field)
        found.update(variables)
        if is_secret(name, field):
            found.update(variable + SUFFIX for variable in variables)
    return found


def wording_of(error: Mapping[str, Any]) -> str:
    """Return what is wrong with a setting, with its variable and an example."""
    message = wording.wording_of(error)
    location = [str(part) for part in error["loc"]]
    if not location:
        return message
    by_variable = {
        variable: name
        for name, field in Settings.model_fields.items()
        for variable in names_of(Settings, name, field)
    }
    name = by_variable.get(location[0], location[0])
    variable = location[0] if location[0] in by_variable else f"{PREFIX}{name}".upper()
    inner = ".".join(wording.path_of(error["loc"])[1:])
    where = f"{variable}: {inner}" if inner else variable
    example = EXAMPLES.get(name)
    if example is None and (field := Settings.model_fields.get(name)) is not None:
        default = field.get_default()
        example = None if default in (None, ()) else str(default)
    shown = f" For example: {variable}={example}" if example else ""
    return f"{where}: {message[:1].upper()}{message[1:].rstrip('.')}.{shown}"


def _unknown(variables: Mapping[str, str | None]) -> Iterator[str]:
    settings = known()
    for given, value in sorted(variables.items()):
        name = given.upper()
        if name in settings or name.startswith(_TESTS) or not _is_meant(name):
            continue
        if not (_KUBERNETES.search(name) and _ADDRESS.fullmatch(value or "")):
            yield name


def _is_meant(name: str) -> bool:
    """Return whether a variable is named like a setting, or almost."""
    if name.replace("_", "").startswith("LLAMAKEEP"):
        return True
    first = name.partition("_")[0]
    return "_" in name and SequenceMatcher(None, first, "LLAMAKEEP").ratio() > 0.8


def _warning(name: str, where: str) -> str:
    near = get_close_matches(name.upper(), known(), n=1, cutoff=0.5)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"{name} in {where} is no setting of llamakeep, and is ignored.{meant}"
