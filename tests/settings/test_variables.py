"""Variables that are misspelt, and settings that make no sense."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from llamakeep.settings import Settings, variables


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without `.env`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LLAMAKEEP_DEFUALT_MODEL", "LLAMAKEEP_DEFAULT_MODEL"),
        ("LLAMAKEEP_RATELIMIT", "LLAMAKEEP_RATE_LIMIT"),
        ("LLAMAKEEP_RETENTION", "LLAMAKEEP_RETENTION_DAYS"),
        ("LLAMAKEEP_OPENAI_API_KEYS_FILE", "LLAMAKEEP_OPENAI_API_KEY_FILE"),
        ("LLAMAKEPP_DEMO", "LLAMAKEEP_DEMO"),
        ("LAMAKEEP_DEMO", "LLAMAKEEP_DEMO"),
        ("LLAMA_KEEP_DEMO", "LLAMAKEEP_DEMO"),
        ("llamakeep_ratelimit", "LLAMAKEEP_RATE_LIMIT"),
        ("LLAMAKEEP_DEMO_FILE", "LLAMAKEEP_DEMO"),
    ],
)
def test_a_variable_that_is_no_setting_is_named_with_the_one_that_may_be_meant(
    monkeypatch: pytest.MonkeyPatch, elsewhere: Path, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "1")
    [in_environment] = variables.warnings()
    monkeypatch.delenv(name)
    (elsewhere / ".env").write_text(f"{name}=1\n")
    [in_file] = variables.warnings()

    assert in_environment.startswith(f"{name.upper()} in the environment is no setting")
    assert in_file.startswith(f"{name.upper()} in `.env` is no setting")
    assert in_environment.endswith(f"Did you mean {meant}?")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("llamakeep_demo", "1"),
        ("REPLICATE_API_TOKEN", "r8_x"),
        ("LLAMAKEEP_OPENAI_API_KEY_FILE", "/run/key"),
        ("LLAMAKEEP_SERVER", "http://x"),
        ("LLAMAKEEP_ACCESS_TOKEN", "x"),
        ("LLAMAKEEP_SERVICE_HOST", "10.0.0.1"),
        ("LLAMAKEEP_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("LLAMA_CPP_HOME", "/opt"),
        ("LANG", "C"),
    ],
)
def test_what_is_read_or_others_need_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    assert variables.warnings() == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("USER_LIMITS", "100", "It is no JSON object."),
        ("USER_LIMITS", '{"tokens_per_day": true}', "It has true or false"),
        ("SERVER_LIMITS", '{"tokens": 1}', "tokens: There is no such field."),
        ("PRICES", "cheap", "It is no JSON object."),
        ("OPENAI_MODELS", '["a"', "It is a list that does not end"),
        ("OPENAI_API_KEY", "sk\u200b1", "U+200B (ZERO WIDTH SPACE) at position 3"),
        ("OPENAI_API_KEY", "\u201csk", "U+201C (LEFT DOUBLE QUOTATION MARK)"),
        ("OPENAI_API_KEY", "sk 1", "U+0020 (SPACE) at position 3"),
        ("LEASE", "x", "It has to be a number. For example: LLAMAKEEP_LEASE=30"),
        ("DEMO", "perhaps", "It has to be true or false."),
        ("MAX_RUNNING", "1.5", "It has to be a whole number."),
        ("MAX_BODY_SIZE", "big", "It has to be a size in bytes"),
        ("OPENAI_BASE_URL", "localhost", "It is no URL"),
        ("CORS_ORIGINS", "a.b", "For example: LLAMAKEEP_CORS_ORIGINS=https://"),
        ("WEBHOOK_NETWORKS", "10.0.0.0/99", "It is no network"),
    ],
)
def test_a_value_that_makes_no_sense_is_explained(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"LLAMAKEEP_{name}", value)

    with pytest.raises(ValidationError) as refused:
        Settings()
    [message] = [variables.wording_of(one) for one in refused.value.errors()]

    assert message.startswith(f"LLAMAKEEP_{name}: ")
    assert reason in message
    for jargon in ("Input should", "validation", "instance of", "Source"):
        assert jargon not in message


@pytest.mark.parametrize("written", ["a,b", " a , b ,", '["a", "b"]'])
def test_a_list_has_commas_in_between(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("LLAMAKEEP_OPENAI_MODELS", written)

    assert Settings().openai_models == ("a", "b")


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
@pytest.mark.parametrize(
    "name",
    ["REPLICATE_API_TOKEN", "LLAMAKEEP_OPENAI_BASE_URL", "LLAMAKEEP_RETENTION_DAYS"],
)
def test_what_is_blank_is_not_set(
    monkeypatch: pytest.MonkeyPatch, name: str, blank: str
) -> None:
    monkeypatch.setenv(name, blank)

    assert Settings() == Settings.model_construct()


@pytest.mark.parametrize("written", ["sk-1\n", " sk-1 ", "\ufeffsk-1\r\n"])
def test_a_key_is_trimmed(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("LLAMAKEEP_OPENAI_API_KEY", written)

    key = Settings().openai_api_key

    assert key is not None
    assert key.get_secret_value() == "sk-1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("LLAMAKEEP_DEFAULT_MODEL=nobodys-model", "LLAMAKEEP_DEFAULT_MODEL"),
        ("LLAMAKEEP_DEFAULT_MODEL=openai:x", "set LLAMAKEEP_OPENAI_BASE_URL"),
        ("LLAMAKEEP_DEFAULT_MODEL=replicate:a/b", "set REPLICATE_API_TOKEN"),
    ],
)
def test_a_model_that_cannot_be_there_is_refused_at_the_start(
    variable: str, reason: str
) -> None:
    name, _, value = variable.partition("=")

    done = subprocess.run(
        [sys.executable, "-m", "llamakeep", "serve", "--port", "0"],
        env={
            name: value,
            "LLAMAKEEP_LOCAL_MODEL": "missing.gguf",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2
    assert f"llamakeep: {name}: " in done.stderr
    assert reason in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.gguf", "missing.gguf: No such file or directory."),
        ("page.gguf", "page.gguf is no GGUF file."),
        (".", ".: Is a directory."),
    ],
)
def test_a_file_that_is_no_model_is_named_to_who_asks(
    elsewhere: Path, name: str, reason: str
) -> None:
    (elsewhere / "page.gguf").write_text("<html>")

    done = subprocess.run(
        [sys.executable, "-m", "llamakeep", "ask", "--no-history", "Hi"],
        env={
            "LLAMAKEEP_LOCAL_MODEL": name,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert f"LLAMAKEEP_LOCAL_MODEL: {reason}" in done.stderr or (
        "it is no GGUF file" in done.stderr
    )
