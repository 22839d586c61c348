"""Secrets in files: `LLAMAKEEP_…_FILE`."""

from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from llamakeep.settings import Settings
from llamakeep.settings.secret_files import LARGEST


@pytest.fixture(autouse=True)
def _nothing_set(settings: Settings) -> None:
    """The fixture took away what the environment says, and `.env`."""
    assert settings.replicate_api_token is None


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("LLAMAKEEP_REPLICATE_API_TOKEN", "r8_abc"),
        ("REPLICATE_API_TOKEN", "r8_abc"),
        ("LLAMAKEEP_OPENAI_API_KEY", "sk-abc"),
        ("LLAMAKEEP_REPLICATE_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8I"),
        ("LLAMAKEEP_VALKEY_URL", "valkey://:secret@localhost"),
        ("LLAMAKEEP_DATABASE_URL", "postgresql://engine:secret@db/keep"),
    ],
)
def test_a_secret_is_read_from_the_file_that_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, secret: str
) -> None:
    Path("secret").write_text(f"{secret}\n")
    monkeypatch.setenv(f"{name}_FILE", "secret")

    settings = Settings()

    field = name.removeprefix("LLAMAKEEP_").lower()
    found = getattr(settings, field)
    assert (found if field == "database_url" else found.get_secret_value()) == secret


def test_the_name_of_the_file_may_be_in_the_env_file() -> None:
    Path("secret").write_text("r8_abc")
    Path(".env").write_text("REPLICATE_API_TOKEN_FILE=secret\n")

    token = Settings().replicate_api_token

    assert token is not None
    assert token.get_secret_value() == "r8_abc"


def test_the_environment_wins_over_a_file_that_the_env_file_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("secret").write_text("r8_filed")
    Path(".env").write_text("LLAMAKEEP_REPLICATE_API_TOKEN_FILE=secret\n")
    monkeypatch.setenv("LLAMAKEEP_REPLICATE_API_TOKEN", "r8_set")

    token = Settings().replicate_api_token

    assert token is not None
    assert token.get_secret_value() == "r8_set"


def test_a_secret_is_not_both_in_a_file_and_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("secret").write_text("sk-filed")
    monkeypatch.setenv("LLAMAKEEP_OPENAI_API_KEY_FILE", "secret")
    monkeypatch.setenv("LLAMAKEEP_OPENAI_API_KEY", "sk-set")

    with pytest.raises(SettingsError, match="both set, keep one") as caught:
        Settings()

    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"\n", "is empty"),
        (b"x" * (LARGEST + 1), "too large to be a secret"),
        (b"\xff\xfe", "not text in UTF-8"),
    ],
)
def test_a_file_that_cannot_have_the_secret_is_named(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None, reason: str
) -> None:
    if content is not None:
        Path("secret").write_bytes(content)
    monkeypatch.setenv("LLAMAKEEP_OPENAI_API_KEY_FILE", "secret")

    with pytest.raises(SettingsError, match=reason) as caught:
        Settings()

    assert "LLAMAKEEP_OPENAI_API_KEY_FILE: secret" in str(caught.value)


def test_what_is_no_secret_is_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("value").write_text("local:smollm2")
    monkeypatch.setenv("LLAMAKEEP_DEFAULT_MODEL_FILE", "value")

    assert Settings().default_model is None
