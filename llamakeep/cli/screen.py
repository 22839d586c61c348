"""Output of `llamakeep ask`."""

from llamakeep.cli.terminal import Spinner, complain, write
from llamakeep.domain import Item, Reasoning, ToolCall


class Screen:
    """Writes a response to standard output while it is streamed."""

    def __init__(self, spinner: Spinner) -> None:
        self._spinner = spinner
        self._text = ""
        self._closing = ""
        """What is written at the end of the item that is being written."""

    def add(self, text: str) -> None:
        """Write the next piece."""
        self._spinner.stop()
        self._text += text
        write(text)

    def begin(self, item: Item) -> None:
        """Write the beginning of the next item, in a paragraph of its own."""
        if self._text:
            self.end_line()
            self.add("\n")
        match item:
            case ToolCall():
                self.add(f"[tool call] {item.name}(")
                self._closing = ")"
            case Reasoning():
                self.add("[reasoning] ")

    def replace(self, text: str) -> None:
        """Write the whole text again, after the run has started again."""
        if self._text:
            self.end_line()
            complain("The answer began anew.")
        self._text = ""
        self.add(text)

    def end_line(self) -> None:
        """End the item, and write a line break if its text does not end with one."""
        if self._closing:
            self.add(self._closing)
            self._closing = ""
        if self._text and not self._text.endswith("\n"):
            self.add("\n")
