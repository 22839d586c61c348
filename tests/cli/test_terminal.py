"""What only a person at a terminal sees."""

import io
import sys

import pytest

from llamakeep.cli.terminal import print_rows, progress, spinning, write


class Terminal(io.StringIO):
    """Claims that somebody is looking."""

    def isatty(self) -> bool:
        return True


def somebody_looks(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in; a fixture could not, for capturing begins after it."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return terminal


def test_somebody_who_waits_sees_that_something_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = somebody_looks(monkeypatch)
    with spinning("Thinking") as spinner:
        spinner.stop()
        spinner.stop()

    assert "Thinking" in terminal.getvalue()


def test_somebody_who_imports_much_sees_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = somebody_looks(monkeypatch)
    with progress("Importing", 10) as advance:
        advance(5)

    assert "Importing" in terminal.getvalue()


def test_a_response_cannot_take_over_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = somebody_looks(monkeypatch)
    write("one\x1b[2J\ntwo\t\x9bthree")

    assert terminal.getvalue() == "one\ufffd[2J\ntwo\t\ufffdthree"


def test_a_table_shows_ids_whole_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = somebody_looks(monkeypatch)
    print_rows(
        ("id", "time", "prompt", "response"),
        [("run_" + "x" * 26, "2025-06-28 12:34", "word " * 12, "[red]word[/red] " * 6)],
    )

    assert "run_" + "x" * 26 + "   2025-06-28 12:34" in terminal.getvalue()
    assert "[red]word" in terminal.getvalue()
