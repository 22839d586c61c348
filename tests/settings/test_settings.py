from pathlib import Path
from typing import Any

import pytest
from pydantic import HttpUrl, SecretStr, ValidationError

from llamakeep.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_set(settings: Settings) -> None:
    """The fixture took away what the environment says, and `.env`."""
    assert settings.default_model is None


TWO_ON_POSTGRESQL: dict[str, Any] = {
    "database_url": "postgresql://db.example/llamakeep",
    "workers": 2,
}


def test_everything_has_a_default() -> None:
    settings = Settings()

    assert settings.database_url == "sqlite:///llamakeep.db"
    assert settings.demo is False
    assert settings.replicate_api_token is None


def test_settings_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLAMAKEEP_DEFAULT_MODEL", "local:smollm2")
    monkeypatch.setenv("LLAMAKEEP_OPENAI_MODELS", '["llama-4", "llama-3"]')
    monkeypatch.setenv("LLAMAKEEP_MAX_BODY_SIZE", "2MiB")
    monkeypatch.setenv("LLAMAKEEP_RETRY_INTERRUPTED", "false")

    settings = Settings()

    assert settings.default_model == "local:smollm2"
    assert settings.openai_models == ("llama-4", "llama-3")
    assert settings.max_body_size == 2 * 1024 * 1024
    assert settings.retry_interrupted is False


def test_settings_are_read_from_a_file_in_the_folder() -> None:
    Path(".env").write_text("REPLICATE_API_TOKEN=r8_abc\nOTHER=1\n")

    assert Settings().replicate_api_token == SecretStr("r8_abc")


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("LLAMAKEEP_DEFAULT_MODEL=filed")
    monkeypatch.setenv("LLAMAKEEP_DEFAULT_MODEL", "set")

    assert Settings().default_model == "set"


@pytest.mark.parametrize(
    "name", ["REPLICATE_API_TOKEN", "LLAMAKEEP_REPLICATE_API_TOKEN"]
)
def test_replicates_own_name_for_its_token_works_too(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "r8_abc")

    assert Settings().replicate_api_token == SecretStr("r8_abc")


def test_our_name_for_replicates_token_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_theirs")
    monkeypatch.setenv("LLAMAKEEP_REPLICATE_API_TOKEN", "r8_ours")

    assert Settings().replicate_api_token == SecretStr("r8_ours")


def test_rates_are_written_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMAKEEP_RATE_LIMIT", "10/second;1000/day")

    assert Settings().rate_limit == ((10, 1), (1000, 86400))
    assert Settings().login_rate_limit == ()


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "")

    assert Settings().replicate_api_token is None


def test_printed_settings_give_no_secret_away() -> None:
    settings = Settings(
        database_url="postgresql://engine:s3cret-d@db/keep",
        replicate_api_token=SecretStr("s3cret-r"),
        openai_api_key=SecretStr("s3cret-o"),
    )

    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings)


def test_settings_do_not_change_after_the_start() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.demo = True


def test_a_lease_outlives_a_few_flushes() -> None:
    assert Settings(lease=3, flush_interval=1).lease == 3

    with pytest.raises(ValidationError, match="three times flush_interval"):
        Settings(lease=2.9, flush_interval=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLAMAKEEP_MAX_RUNNING", "0"),
        ("LLAMAKEEP_MAX_QUEUED", "-1"),
        ("LLAMAKEEP_RUN_TIMEOUT", "0"),
        ("LLAMAKEEP_SHUTDOWN_GRACE", "inf"),
        ("LLAMAKEEP_LEASE", "inf"),
        ("LLAMAKEEP_ACCESS_TOKEN_LIFETIME", "1e300"),
        ("LLAMAKEEP_OPENAI_BASE_URL", "localhost:8080"),
        ("LLAMAKEEP_PUBLIC_URL", "http://example.com"),
        ("LLAMAKEEP_PUBLIC_URL", "http://127.0.0.1.example.com"),
        ("LLAMAKEEP_PUBLIC_URL", "ftp://localhost"),
        ("LLAMAKEEP_PUBLIC_URL", "https://me:secret@example.com"),
        ("LLAMAKEEP_PUBLIC_URL", "https://example.com/?a=b"),
        ("LLAMAKEEP_REPLICATE_WEBHOOK_SECRET", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("LLAMAKEEP_REPLICATE_WEBHOOK_SECRET", "whsec_abc"),
        ("LLAMAKEEP_REPLICATE_WEBHOOK_SECRET", "whsec_"),
        ("LLAMAKEEP_CORS_ORIGINS", '["*"]'),
        ("LLAMAKEEP_CORS_ORIGINS", '["https://chat.example.com/"]'),
        ("LLAMAKEEP_CORS_ORIGINS", '["chat.example.com"]'),
        ("LLAMAKEEP_CORS_ORIGINS", '["null"]'),
        ("LLAMAKEEP_RATE_LIMIT", "120"),
        ("LLAMAKEEP_ADDRESS_RATE_LIMIT", "0/minute"),
        ("LLAMAKEEP_LOGIN_RATE_LIMIT", "5/fortnight"),
        ("LLAMAKEEP_VALKEY_URL", "127.0.0.1:6379"),
        ("LLAMAKEEP_VALKEY_URL", "http://127.0.0.1:6379"),
        ("LLAMAKEEP_VALKEY_URL", "valkey://localhost:port"),
    ],
)
def test_what_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match=name.removeprefix("LLAMAKEEP_").lower()):
        Settings()


@pytest.mark.parametrize(
    "url",
    [
        "valkey://localhost",
        "valkey://engine:s3cret@[::1]:6379/1",
        "valkeys://valkey.example.com:6380",
        "unix:///run/valkey.sock",
    ],
)
def test_valkey_is_where_its_client_finds_it(url: str) -> None:
    assert Settings(valkey_url=SecretStr(url)).valkey_url == SecretStr(url)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.0.0.5", "with a port"),
        ("node1.example:8001", "an IP address"),
        ("https://10.0.0.5:8001", "an IP address"),
        ("fd00::5:8001", "in brackets"),
        ("10.0.0.256:8001", "no IP address"),
        ("10.0.0.5:80011", "no port"),
        ("0.0.0.0:8001", "all addresses"),
        ("[::]:8001", "all addresses"),
        ("224.0.0.1:8001", "cannot connect"),
        ("[fe80::1]:8001", "cannot connect"),
        ("10.0.0.5:7999", "LLAMAKEEP_PORT"),
    ],
)
def test_the_address_for_other_nodes_is_one_that_they_can_connect_to(
    address: str, reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        Settings(node_address=address, **TWO_ON_POSTGRESQL)


def test_the_address_for_other_nodes_is_read_in_parts() -> None:
    settings = Settings(node_address=" [FD00:0::5]:8001\n", **TWO_ON_POSTGRESQL)

    assert settings.node_address == "[fd00::5]:8001"
    assert settings.node_host_and_port == ("fd00::5", 8001)
    with pytest.raises(ValidationError, match="PostgreSQL"):
        Settings(node_address="10.0.0.5:8001")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/llama",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "http://localhost",
    ],
)
def test_webhooks_come_by_https_or_from_this_computer(url: str) -> None:
    assert str(Settings(public_url=HttpUrl(url)).public_url).rstrip("/") == url
