"""What a page has of runs, as `/events/` tells it."""

from typing import Any


class ShownRuns:
    """
    Does with events what docs/streaming.md says.

    Attributes:
        runs: The runs that it shows, by their ids.
        texts: The tapes of those that it follows.
        positions: Where it is in those.
        ended: Runs of whose text no more comes.
        cursor: Where it comes back to.
        told: Runs with events since lists had to be asked for.
        is_outdated: Whether they have to be asked for.
    """

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, str] = {}
        self.positions: dict[str, str] = {}
        self.ended: set[str] = set()
        self.cursor = ""
        self.told: set[str] = set()
        self.is_outdated = False

    def follow(self, run_id: str, position: str = "0", text: str = "") -> None:
        """Follow a run with the next connection."""
        self.positions[run_id], self.texts[run_id] = position, text

    @property
    def query(self) -> list[tuple[str, str]]:
        """What it asks for when it connects."""
        return [
            ("follow", f"{run_id}:{position}")
            for run_id, position in self.positions.items()
            if run_id not in self.ended
        ]

    @property
    def headers(self) -> dict[str, str]:
        return {"last-event-id": self.cursor} if self.cursor else {}

    def list(self, history: list[dict[str, Any]]) -> None:
        """Take a list; events that came since it was asked for count more."""
        self.is_outdated = False
        for run in history:
            if run["id"] not in self.told:
                self.runs[run["id"]] = run

    def take(self, event: str, data: Any, event_id: str) -> None:
        """Take an event."""
        self.cursor = event_id or self.cursor
        if event == "ready" and not data["resumed"]:
            self.told.clear()
            self.is_outdated = True
        elif event == "run":
            self.told.add(data["id"])
            self.runs[data["id"]] = data
        elif event == "deleted":
            self.runs.pop(data["run"], None)
        elif data and "run" in data:
            self._take_text(event, data)

    def _take_text(self, event: str, data: dict[str, Any]) -> None:
        run_id = data["run"]
        if event in {"delta", "item_delta"}:
            self.texts[run_id] += data["text"]
        elif event == "item":
            self.texts[run_id] += "\0"
        elif event == "reset":
            self.texts[run_id] = data["text"]
        elif event == "done" or data["is_over"]:
            self.ended.add(run_id)
        self.positions[run_id] = data.get("position", self.positions[run_id])
