"""Where `llamakeep ask` writes an answer."""

from llamakeep.cli.terminal import Spinner, complain, write


class Screen:
    """Where an answer is written while it comes."""

    def __init__(self, spinner: Spinner) -> None:
        self._spinner = spinner
        self._text = ""

    def add(self, text: str) -> None:
        """Write what follows."""
        self._spinner.stop()
        self._text += text
        write(text)

    def replace(self, text: str) -> None:
        """Write the whole text again: what was written is not how it begins."""
        if self._text:
            self.end_line()
            complain("The answer began anew.")
        self._text = ""
        self.add(text)

    def end_line(self) -> None:
        """Begin a new line, unless one has begun."""
        if self._text and not self._text.endswith("\n"):
            write("\n")
