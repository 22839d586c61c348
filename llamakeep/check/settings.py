"""Whether the settings can be read, name things that exist, and fit together."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError
from pydantic_settings import SettingsError

from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.errors import OneProcessOnly
from llamakeep.settings import Settings, variables
from llamakeep.settings.upstreams import (
    NONE,
    Upstreams,
    UpstreamsFault,
    read,
    with_local,
)
from llamakeep.settings.values import is_loopback
from llamakeep.workers.parent import check_can_share

ABOUT = "settings"
ANYONE = 8
"""Networks with a shorter prefix are (nearly) the whole Internet."""
_CORRECT = "Correct it in the environment or in `.env`."


def read_settings() -> tuple[Settings | None, Upstreams, list[Finding]]:
    """
    Return the settings and what `llamakeep.toml` says, and what is wrong with them.

    Without settings, they cannot be read.
    """
    try:
        settings = Settings()
        upstreams = read(settings)
        settings = with_local(settings, upstreams)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        return (
            None,
            NONE,
            [failed(ABOUT, variables.wording_of(each), _CORRECT) for each in wrong],
        )
    except UpstreamsFault as error:
        fix = "Correct the file: `docs/upstreams.md` says what it may have."
        return None, NONE, [failed(ABOUT, str(each), fix) for each in error.mistakes]
    except (SettingsError, UnicodeDecodeError) as error:
        return None, NONE, [failed(ABOUT, f"They cannot be read: {error}.", _CORRECT)]
    variables.pass_on_from_file()
    found = [
        warning(ABOUT, each, "Correct the name, or remove the variable.")
        for each in variables.warnings()
    ]
    found.extend(contradictions(settings, [*upstreams.upstreams]))
    return settings, upstreams, found or [ok(ABOUT, "All are known, and fit together.")]


def contradictions(
    settings: Settings, upstreams: Sequence[str] = ()
) -> Iterator[Finding]:
    """
    Yield which settings do not fit together, or change nothing.

    The `upstreams` are those of `llamakeep.toml`.
    """
    yield from _of_the_server(settings)
    yield from _of_proxies(settings)
    yield from _of_providers(settings, upstreams)
    yield from _without_effect(settings)


def _of_the_server(settings: Settings) -> Iterator[Finding]:
    try:
        check_can_share(settings)
    except OneProcessOnly as error:
        yield failed(ABOUT, error.detail, "Set LLAMAKEEP_WORKERS=1, or PostgreSQL.")
    if settings.demo and not is_loopback(settings.host):
        yield failed(
            ABOUT,
            f"LLAMAKEEP_DEMO has well-known passwords, and is refused on "
            f"{settings.host}.",
            "Remove LLAMAKEEP_DEMO, or set LLAMAKEEP_HOST=127.0.0.1.",
        )
    if settings.demo and settings.public_url is not None:
        yield failed(
            ABOUT,
            "LLAMAKEEP_DEMO has well-known passwords, and LLAMAKEEP_PUBLIC_URL says "
            "that others reach this server.",
            "Remove LLAMAKEEP_DEMO, and run `llamakeep user add --admin NAME`.",
        )
    if settings.metrics_port == settings.port and settings.port:
        yield failed(
            ABOUT,
            f"LLAMAKEEP_METRICS_PORT and LLAMAKEEP_PORT are both {settings.port}.",
            "Set LLAMAKEEP_METRICS_PORT to another port, such as 9464.",
        )
    if settings.metrics_port is not None and not is_loopback(settings.metrics_host):
        yield warning(
            ABOUT,
            f"LLAMAKEEP_METRICS_HOST={settings.metrics_host} lets other computers read "
            "the metrics without a login.",
            "Set LLAMAKEEP_METRICS_HOST=127.0.0.1, or let a firewall pass Prometheus "
            "alone.",
        )
    if settings.silence_timeout > settings.run_timeout:
        yield warning(
            ABOUT,
            "LLAMAKEEP_SILENCE_TIMEOUT is longer than LLAMAKEEP_RUN_TIMEOUT, which "
            "ends a run before.",
            "Set LLAMAKEEP_RUN_TIMEOUT to several times LLAMAKEEP_SILENCE_TIMEOUT.",
        )


def _of_proxies(settings: Settings) -> Iterator[Finding]:
    url, proxies = settings.public_url, settings.trusted_proxies
    for network in proxies:
        if network.prefixlen < ANYONE:
            yield failed(
                ABOUT,
                f"LLAMAKEEP_TRUSTED_PROXIES has {network}: any client can choose the "
                "address that limits and the audit log have of it.",
                "Name the proxies' own addresses, such as 127.0.0.1.",
            )
    if url is None and not is_loopback(settings.host) and not proxies:
        yield warning(
            ABOUT,
            f"LLAMAKEEP_HOST={settings.host} lets other computers in without TLS: "
            "passwords and API keys are readable on the way.",
            "Put a proxy with TLS in front, and set LLAMAKEEP_PUBLIC_URL and "
            "LLAMAKEEP_TRUSTED_PROXIES: see docs/security.md.",
        )
    if url is not None and url.scheme == "https" and not proxies:
        yield warning(
            ABOUT,
            "LLAMAKEEP_PUBLIC_URL is https, so a proxy is in front, and "
            "LLAMAKEEP_TRUSTED_PROXIES is not set: all clients seem to have the "
            "proxy's address, and share its limits.",
            "Set LLAMAKEEP_TRUSTED_PROXIES to the proxy's address, such as 127.0.0.1.",
        )


def _of_providers(settings: Settings, upstreams: Sequence[str]) -> Iterator[Finding]:
    for name in settings.prices:
        provider, _, model = name.partition(":")
        known = {"replicate", "openai", "local", *upstreams}
        if provider not in known or not model:
            yield warning(
                ABOUT,
                f"LLAMAKEEP_PRICES has {name!r}, which is no model's name here.",
                'Write it as `provider:model`, such as "openai:big".',
            )


def _without_effect(settings: Settings) -> Iterator[Finding]:
    has_server = settings.openai_base_url is not None
    rates = settings.rate_limit, settings.address_rate_limit, settings.login_rate_limit
    for variable, is_set, is_used, needed in (
        ("OPENAI_API_KEY", settings.openai_api_key, has_server, "OPENAI_BASE_URL"),
        ("OPENAI_MODELS", settings.openai_models, has_server, "OPENAI_BASE_URL"),
        (
            "OPENAI_EXTRA_FIELDS",
            settings.openai_extra_fields,
            has_server,
            "OPENAI_BASE_URL",
        ),
        (
            "REPLICATE_WEBHOOK_SECRET",
            settings.replicate_webhook_secret,
            settings.public_url,
            "PUBLIC_URL",
        ),
        (
            "WEBHOOK_NETWORKS",
            settings.webhook_networks,
            settings.webhooks,
            "WEBHOOKS",
        ),
        ("VALKEY_URL", settings.valkey_url, any(rates), "RATE_LIMIT"),
    ):
        if is_set and not is_used:
            yield warning(
                ABOUT,
                f"LLAMAKEEP_{variable} changes nothing without LLAMAKEEP_{needed}.",
                f"Set LLAMAKEEP_{needed}, or remove LLAMAKEEP_{variable}.",
            )
