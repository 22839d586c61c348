"""The states of users' recent runs on a shared database, where others change them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, select, true

from llamakeep.domain import RunStatus, first_id
from llamakeep.storage.accounts.tables import users
from llamakeep.storage.database.conditions import IS_UNFINISHED
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import runs

MOST = 100
"""Runs of a user that began in the time that is looked at."""

MOST_UNFINISHED = 2000
"""Unfinished runs of all users that are looked at."""

_STATE = (runs.c.user_id, runs.c.id, runs.c.status, runs.c.attempt)
_IDS: BindParameter[str] = bindparam("user_ids", expanding=True)
# Few runs are unfinished: the expression makes the planner use their index.
_UNFINISHED = (
    select(*_STATE)
    .where(runs.c.user_id.concat("").in_(_IDS), IS_UNFINISHED)
    .limit(MOST_UNFINISHED)
)
_newest = (
    select(*_STATE)
    .where(runs.c.user_id == users.c.id, runs.c.id >= bindparam("since"))
    .order_by(runs.c.id.desc())
    .limit(MOST)
    .lateral("newest")
)
_RECENT = (
    select(_newest).select_from(users.join(_newest, true())).where(users.c.id.in_(_IDS))
)


class RunState(NamedTuple):
    """What others may have changed."""

    status: RunStatus
    attempt: int


@dataclass(frozen=True, slots=True)
class States:
    """The unfinished and the newest runs of some users."""

    by_user: Mapping[str, Mapping[str, RunState]]
    has_all_unfinished: bool

    def of(self, user_id: str) -> Mapping[str, RunState]:
        """Return the states of a user's runs, by their ids."""
        return self.by_user.get(user_id, {})


class RecentStorage:
    """Looks at the runs of users that listen. It is for shared databases alone."""

    _database: Database

    async def run_states(self, user_ids: Collection[str], *, since: datetime) -> States:
        """
        Return the states of unfinished runs, and of those that began `since`.

        Of those that began, they are the newest `MOST` of each user.
        """
        values = {"user_ids": [*user_ids]}
        recent = values | {"since": first_id("run_", since)}

        def operation(connection: Connection) -> States:
            found: dict[str, dict[str, RunState]] = {}
            unfinished = connection.execute(_UNFINISHED, values).all()
            newest = connection.execute(_RECENT, recent).all()
            for user_id, run_id, *state in (*unfinished, *newest):
                found.setdefault(user_id, {})[run_id] = RunState(*state)
            return States(found, len(unfinished) < MOST_UNFINISHED)

        return await self._database.read(operation)
