import pytest


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The engine's tests run on SQLite; what differs is tested in storage."""
    return sqlite_url


@pytest.fixture(autouse=True)
def poll_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamakeep.engine.following.POLL_INTERVAL", 0.01)
    monkeypatch.setattr("llamakeep.storage.runs.outcomes.LOOKS", (0.01, 0.04, 0.1, 0.2))
