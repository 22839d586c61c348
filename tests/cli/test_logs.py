"""What the log looks like."""

import logging
import sys

import pytest
from pydantic import ValidationError

from llamakeep.errors import PromptRejected
from llamakeep.logs import set_up_logging
from llamakeep.logs.formats import LineFormatter
from llamakeep.settings import Settings


def _formatted(message: str, *args: object, exc_info: bool = False) -> str:
    record = logging.LogRecord(
        "llamakeep.x",
        logging.INFO,
        __file__,
        1,
        message,
        args,
        sys.exc_info() if exc_info else None,
    )
    return LineFormatter().format(record)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\u2028", "\x0b"])
def test_a_record_is_one_line_whatever_is_in_it(line_break: str) -> None:
    formatted = _formatted("one%stwo", line_break)

    assert formatted.endswith("Z INFO llamakeep.x: one | two")


def test_a_traceback_is_on_the_same_line() -> None:
    try:
        int("broken")
    except ValueError:
        formatted = _formatted("It failed.", exc_info=True)

    assert len(formatted.splitlines()) == 1
    assert formatted.endswith("invalid literal for int() with base 10: 'broken'")


@pytest.mark.parametrize(
    "secret",
    [
        "lk_0123456789abcdefghijklmnopqrstuvwxyz",
        "lka_0123456789abcdefghijklmnopqrstuvwxyz",
        "r8_0123456789abcdefghijklmnopqrstuvwxyz",
        "sk-proj-0123456789abcdefghij",
        "token_alice",
    ],
)
def test_access_tokens_are_left_out(secret: str) -> None:
    assert secret not in _formatted("it was %s.", secret)
    assert "anything" not in _formatted("Authorization: Bearer anything")


@pytest.mark.parametrize(
    "said",
    [
        "Authorization: Bearer hunter2",
        "{'authorization': 'Basic hunter2'}",
        "X-API-Key=hunter2",
        '"password": "hunter2"',
        "Cookie: hunter2",
        "postgresql://engine:hunter2@db/keep",
        "whsec_hunter2hunter2hunter2",
    ],
)
def test_what_is_called_a_secret_is_left_out(said: str) -> None:
    assert "hunter2" not in _formatted("it was %s.", said)


def test_an_error_that_may_quote_a_prompt_is_named_and_not_told() -> None:
    said = "What is FastAPI?"
    try:
        try:
            Settings(local_slots=said)  # type: ignore[arg-type] # that is the point
        except ValidationError as error:
            raise PromptRejected(said) from error
    except PromptRejected:
        formatted = _formatted("It failed.", exc_info=True)

    assert said not in formatted
    assert "PromptRejected | because of " in formatted
    assert formatted.endswith("ValidationError")


def test_only_our_own_small_talk_is_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up_logging("info")
        logging.getLogger("llamakeep.x").info("ours")
        logging.getLogger("other").info("small talk")
        logging.getLogger("other").warning("important")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.getLogger("llamakeep").setLevel(logging.NOTSET)
        logging.captureWarnings(capture=False)

    err = capsys.readouterr().err
    assert "ours" in err
    assert "important" in err
    assert "small talk" not in err
