"""The picture of the page that the README shows: a conversation, in both themes."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.page.model import Model
from tests.page.site import Site
from tests.page.tabs import Tabs

ANSWER = """\
SQLite has **one writer at a time**, PostgreSQL has many:

| | SQLite | PostgreSQL |
|---|---|---|
| writers | one at a time | many |
| operation | a file | a server |
| backups | `.backup` | `pg_dump` |

```python
import sqlite3

# Readers do not wait for the writer.
connection = sqlite3.connect("llama.db")
connection.execute("PRAGMA journal_mode = wal")
```
"""
EARLIER = ("Name five kinds of llamas", "Translate a letter to Lima", "Why WAL?")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_conversation_has_a_table_and_colours(
    tabs: Tabs, site: Site, model: Model, tmp_path: Path, theme: str
) -> None:
    for prompt in EARLIER:
        site.ask(prompt)
    model.says([ANSWER])
    run = site.ask("Compare SQLite and PostgreSQL in a table.")
    page = tabs.open(site, f"/c/{run['conversation_id']}", color_scheme=theme)
    page.set_viewport_size({"width": 1120, "height": 760})

    expect(page.get_by_role("cell", name="pg_dump")).to_be_visible()
    expect(page.locator("pre code span").first).to_be_visible()
    expect(page.get_by_role("link", name=EARLIER[0])).to_be_visible()

    folder = Path(os.environ.get("LLAMAKEEP_TEST_PICTURES", tmp_path))
    page.screenshot(path=folder / f"page-{theme}.png", animations="disabled")
