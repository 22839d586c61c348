"""Whether the database can be used, and is this version's."""

from datetime import datetime, timedelta

from llamakeep.check.clocks import FIX, compare
from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.check.threads import in_thread
from llamakeep.errors import DatabaseMissing, StorageUnavailable
from llamakeep.settings import Settings
from llamakeep.storage import location, sqlite_is_current
from llamakeep.storage.inspection import (
    HEAD,
    DatabaseState,
    inspect_file,
    inspect_server,
    sqlite_file,
    sqlstate_of,
)

ABOUT = "database"
CONNECTIONS = 20
"""How many connections one process opens to PostgreSQL."""
BEHIND = timedelta(minutes=5)
"""How far the clock may be behind the newest time that the database has seen."""

_MIGRATE = "Run `llamakeep migrate` once, with the same settings."
_FIXES = {
    "28": "Correct the user's name and password in LLAMAKEEP_DATABASE_URL (in it, "
    "write %40 for @, %3A for : and %2F for /), or let pg_hba.conf admit this "
    "computer.",
    "3D": "Create it, such as with `createdb --encoding UTF8 --template template0 "
    "NAME`, or name another one in LLAMAKEEP_DATABASE_URL.",
    "42501": "Let the user of LLAMAKEEP_DATABASE_URL own the database: ALTER DATABASE "
    "… OWNER TO …",
    "53": "Raise max_connections in postgresql.conf, or put PgBouncer in front.",
    "57": "PostgreSQL is starting or stopping: wait, and look at its log.",
}
"""What to do, by the beginning of PostgreSQL's SQLSTATE."""


async def check_database(settings: Settings, *, now: datetime) -> list[Finding]:
    """Return whether the database is there, may be written and has been migrated."""
    url = settings.database_url
    try:
        path = sqlite_file(url)
        state = await (
            inspect_server(url)
            if path is None
            else in_thread(lambda: inspect_file(path))
        )
    except DatabaseMissing as error:
        return [ok(ABOUT, f"{error.detail} The server creates it.")]
    except (TimeoutError, StorageUnavailable) as error:
        return [_unusable(error, is_file=not url.startswith("postgres"))]
    found = [
        *_faults_of_schema(state, is_file=path is not None),
        *_faults_of_server(state, settings),
        *_faults_of_clock(state, now),
    ]
    if path is not None and not sqlite_is_current():
        found.append(
            warning(
                ABOUT,
                f"{state.version} can, very rarely, corrupt a database; 3.51.3 and "
                "newer cannot.",
                "Run `pip install pysqlite3` in llamakeep's environment.",
            )
        )
    if any(each.level == "failed" for each in found):
        return found
    said = f"{location(url)}, {state.version}, revision {state.revision or 'none yet'}."
    return [ok(ABOUT, said), *found]


def _unusable(error: BaseException, *, is_file: bool) -> Finding:
    detail = str(error) or "It does not answer."
    code = sqlstate_of(error)
    if code is not None:
        fix = next((fix for start, fix in _FIXES.items() if code.startswith(start)), "")
        if fix:
            return failed(ABOUT, detail, fix)
    if "encoding" in detail:
        return failed(
            ABOUT,
            detail.partition(" Nothing was changed.")[0],
            "Create a database with `createdb --encoding UTF8 --template template0 "
            "NAME`, name it in LLAMAKEEP_DATABASE_URL, and take over what is in this "
            "one with pg_dump.",
        )
    if "LLAMAKEEP_DATABASE_URL" in detail:
        return failed(ABOUT, detail, "Correct LLAMAKEEP_DATABASE_URL.")
    if is_file:
        if "not a database" in detail or "directory" in detail:
            fix = "Let LLAMAKEEP_DATABASE_URL name a database, or a file to create."
        elif "locked" in detail:
            fix = "End the program that holds the file (`fuser FILE` names it)."
        else:
            fix = "Give the file to the user that runs llamakeep: `chown USER FILE`."
        return failed(ABOUT, detail, fix)
    return failed(
        ABOUT,
        detail,
        "Start PostgreSQL, correct host and port in LLAMAKEEP_DATABASE_URL, and let "
        "a firewall pass it (`pg_isready -d URL` tries).",
    )


def _faults_of_schema(state: DatabaseState, *, is_file: bool) -> list[Finding]:
    revision = state.revision
    if revision == HEAD:
        return []
    if revision is not None and not (revision.isdigit() and revision < HEAD):
        return [
            failed(
                ABOUT,
                f"It is at revision {revision}, which this version of llamakeep "
                f"({HEAD}) does not know.",
                "Install the version of llamakeep that wrote it, or a newer one.",
            )
        ]
    if not is_file and not state.may_create:
        return [
            failed(
                ABOUT,
                "The user of LLAMAKEEP_DATABASE_URL may not create tables in it.",
                _FIXES["42501"],
            )
        ]
    if is_file:
        return []  # the server migrates it when it starts
    if revision is None:
        return [failed(ABOUT, "There are no tables in it yet.", _MIGRATE)]
    said = f"It is at revision {revision}, and this version needs {HEAD}."
    return [failed(ABOUT, said, _MIGRATE)]


def _faults_of_server(state: DatabaseState, settings: Settings) -> list[Finding]:
    found = []
    if not state.may_write:
        found.append(
            failed(
                ABOUT,
                "It is read-only, or its tables are another user's.",
                "Name the primary server in LLAMAKEEP_DATABASE_URL, and the user that "
                "owns the tables.",
            )
        )
    needed = settings.workers * CONNECTIONS
    if state.connections is not None and needed > state.connections:
        found.append(
            warning(
                ABOUT,
                f"PostgreSQL takes {state.connections} connections, and "
                f"{settings.workers} workers use up to {needed}.",
                f"Raise max_connections above {needed}, or set fewer "
                "LLAMAKEEP_WORKERS.",
            )
        )
    return found


def _faults_of_clock(state: DatabaseState, now: datetime) -> list[Finding]:
    if state.now is not None:
        found = compare(ABOUT, state.now, now, whose="PostgreSQL")
        if found:
            return found
    if state.seen_at is not None and now < state.seen_at - BEHIND:
        said = (
            f"This computer's clock says {now:%Y-%m-%d %H:%M} UTC, and it was "
            f"{state.seen_at:%Y-%m-%d %H:%M} when the database was last used."
        )
        return [failed(ABOUT, said, FIX)]
    return []
