"""Output of `llamakeep ask`."""

from llamakeep.cli.terminal import Spinner, complain, write


class Screen:
    """Writes a response to standard output while it is streamed."""

    def __init__(self, spinner: Spinner) -> None:
        self._spinner = spinner
        self._text = ""

    def add(self, text: str) -> None:
        """Write the next piece."""
        self._spinner.stop()
        self._text += text
        write(text)

    def replace(self, text: str) -> None:
        """Write the whole text again, after the run has started again."""
        if self._text:
            self.end_line()
            complain("The answer began anew.")
        self._text = ""
        self.add(text)

    def end_line(self) -> None:
        """Write a line break if the text does not end with one."""
        if self._text and not self._text.endswith("\n"):
            write("\n")
