"""`Storage`, and how to open it: SQLite or PostgreSQL, as the database URL says."""

import asyncio
import importlib
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from llamakeep.errors import StorageUnavailable
from llamakeep.metrics.families import Series
from llamakeep.storage import migrating
from llamakeep.storage.accounts.administration import AccountStorage
from llamakeep.storage.accounts.api_keys import ApiKeyStorage
from llamakeep.storage.accounts.audit import AuditStorage
from llamakeep.storage.accounts.bulk import BulkStorage
from llamakeep.storage.accounts.credential_cache import CredentialCache
from llamakeep.storage.accounts.identities import IdentityStorage
from llamakeep.storage.accounts.invitations import InvitationStorage
from llamakeep.storage.accounts.login_codes import LoginCodeStorage
from llamakeep.storage.accounts.logins import LoginStorage
from llamakeep.storage.accounts.users import UserStorage
from llamakeep.storage.accounts.webhook_secrets import WebhookSecretStorage
from llamakeep.storage.database import schema
from llamakeep.storage.database.clock import ClockStorage
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.postgres.url import (
    PostgresUrl,
    read_postgres_url,
)
from llamakeep.storage.database.sqlite import SqliteDatabase
from llamakeep.storage.deletion.retention import RetentionStorage
from llamakeep.storage.deletion.runs import RunDeletionStorage
from llamakeep.storage.deletion.traces import TraceStorage
from llamakeep.storage.deletion.users import DeletedUserStorage
from llamakeep.storage.figures import FigureStorage
from llamakeep.storage.history.conversations import ConversationStorage
from llamakeep.storage.history.found_conversations import FoundConversationStorage
from llamakeep.storage.history.importing import ImportStorage
from llamakeep.storage.history.listing import HistoryStorage
from llamakeep.storage.history.reindexing import ReindexStorage
from llamakeep.storage.history.stats import StatsStorage
from llamakeep.storage.history.tags import TagStorage
from llamakeep.storage.runs.changed import ChangedStorage
from llamakeep.storage.runs.circuits import CircuitStorage
from llamakeep.storage.runs.context import ContextStorage
from llamakeep.storage.runs.deliveries import DeliveryStorage
from llamakeep.storage.runs.finishing import FinishStorage
from llamakeep.storage.runs.images import ImageStorage
from llamakeep.storage.runs.leases import LeaseStorage
from llamakeep.storage.runs.long_texts import LongTextStorage
from llamakeep.storage.runs.lookups import LookupStorage
from llamakeep.storage.runs.nodes import NodeStorage
from llamakeep.storage.runs.notifications import NotificationStorage
from llamakeep.storage.runs.providers import ProviderStorage
from llamakeep.storage.runs.quotas import QuotaStorage
from llamakeep.storage.runs.recent import RecentStorage
from llamakeep.storage.runs.steps import RunStorage

log = logging.getLogger(__name__)

POSTGRES = re.compile(r"postgres(ql)?(\+\w+)?:", re.IGNORECASE)


class Storage(
    UserStorage,
    LoginStorage,
    LoginCodeStorage,
    IdentityStorage,
    InvitationStorage,
    AccountStorage,
    BulkStorage,
    DeletedUserStorage,
    AuditStorage,
    ApiKeyStorage,
    RunStorage,
    FinishStorage,
    LookupStorage,
    LongTextStorage,
    ChangedStorage,
    RecentStorage,
    ImageStorage,
    LeaseStorage,
    NodeStorage,
    FoundConversationStorage,
    HistoryStorage,
    ReindexStorage,
    ContextStorage,
    RunDeletionStorage,
    StatsStorage,
    TagStorage,
    TraceStorage,
    ConversationStorage,
    RetentionStorage,
    ClockStorage,
    ImportStorage,
    DeliveryStorage,
    CircuitStorage,
    ProviderStorage,
    QuotaStorage,
    NotificationStorage,
    WebhookSecretStorage,
    FigureStorage,
):
    """All reads and writes of the database; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._credentials = CredentialCache(database)

    @property
    def is_sole_owner(self) -> bool:
        """Whether no other process can work on the runs in this database."""
        return self._database.is_sole_owner

    def name_server(self, origin: str) -> None:
        """Write the URL that the owner process serves to its lock file."""
        if isinstance(self._database, SqliteDatabase):
            self._database.name_server(origin)

    @property
    def commits(self) -> int:
        """The number of write transactions of this process."""
        return self._database.commits.number

    def commit_series(self) -> Sequence[Series]:
        """Return how many write transactions this process made, and their times."""
        return self._database.commits.series

    async def ping(self) -> None:
        """
        Run a trivial query.

        Raises:
            StorageUnavailable: The database does not answer.
        """
        await self._database.read(lambda connection: connection.execute(select(1)))

    async def migrate(self) -> None:
        """Migrate the tables to this version's schema."""
        await self._database.write(schema.migrate)

    async def check_schema(self) -> None:
        """
        Check that the tables have this version's schema.

        Raises:
            DatabaseOutdated: They have not; its detail says what to do.
            StorageUnavailable: Only a part of another database was copied to this one.
        """
        await self._database.read(schema.check)
        await self._database.read(schema.check_whole)

    async def erase_traces(self) -> None:
        """Overwrite deleted text in the database's files, where the database can."""
        await self.erase_words()
        await self._database.erase_traces()

    async def erase_copies(self) -> None:
        """Overwrite copies of text that was erased since the last time."""
        if isinstance(self._database, SqliteDatabase):
            await self._database.erase_copies()

    async def keep_up(self) -> None:
        """Checkpoint the write-ahead log while no write waits."""
        await self._database.checkpoint()

    async def close(self) -> None:
        """Finish pending writes and close the database."""
        await self._database.close()


@asynccontextmanager
async def open_storage(
    url: str,
    *,
    is_owner: bool = True,
    migrate: bool | None = None,
    direct_url: str | None = None,
) -> AsyncIterator[Storage]:
    """
    Open the database that `url` names.

    Args:
        url: `sqlite:///FILE` or `postgresql://…`.
        is_owner: Whether this process works on runs; of a SQLite file, one process
            does.
        migrate: Whether to migrate the tables; by default, the owner of a SQLite file
            does.
        direct_url: The same PostgreSQL database, past a pooler.

    Raises:
        DatabaseInUse: Another process owns the SQLite file.
        DatabaseOutdated: The tables have another version's schema and are not to be
            migrated.
        StorageUnavailable: The URL is invalid, or no database answers at it.
    """
    database = await asyncio.to_thread(
        open_database, url, is_owner=is_owner, direct_url=direct_url
    )
    storage = Storage(database)
    try:
        if migrate is None:
            migrate = database.is_sole_owner
        if migrate and not database.is_sole_owner:
            # A migration may take longer than other statements.
            await migrate_database(url)
        elif migrate and not await database.read(schema.is_current):
            await migrating.migrate(database, backed_up=file_of(url))
        await storage.check_schema()
        if isinstance(database, SqliteDatabase) and database.has_older_log:
            database.erase_traces_soon()
        if database.accounts_version is None:
            await database.watch_accounts()
        yield storage
    finally:
        await storage.close()


async def plan_migration(url: str) -> migrating.Plan:
    """
    Return what `migrate_database` will do, without changing anything.

    Raises:
        DatabaseMissing: There is no file.
        StorageUnavailable: The URL is invalid, or no database answers at it.
    """
    database = await asyncio.to_thread(
        open_database, url, is_owner=False, is_hurried=False
    )
    try:
        return await migrating.plan(database)
    finally:
        await database.close()


async def migrate_database(
    url: str, *, is_copied: bool = True
) -> tuple[str | None, str]:
    """
    Migrate the database that `url` names to this version's schema.

    Args:
        url: The database.
        is_copied: Whether a SQLite file is backed up before, beside it.

    Returns:
        The migration before, `None` for an empty database, and the one after.

    Raises:
        DatabaseInUse: Another process owns the SQLite file.
        DatabaseOutdated: A newer version of llamakeep wrote it.
        StorageUnavailable: The URL is invalid, or no database answers at it.
    """
    database = await asyncio.to_thread(
        open_database, url, is_owner=True, is_hurried=False
    )
    backed_up = None
    if is_copied and isinstance(database, SqliteDatabase):
        backed_up = file_of(url)
    try:
        before = await migrating.migrate(database, backed_up=backed_up)
    finally:
        await database.close()
    return before, schema.HEAD


def location(url: str) -> str:
    """Return the path of a SQLite file, or PostgreSQL's URL without secrets."""
    if POSTGRES.match(url):
        return read_postgres_url(url).shown
    return str(file_of(url).absolute())


def open_database(
    url: str,
    *,
    is_owner: bool,
    is_hurried: bool = True,
    direct_url: str | None = None,
) -> Database:
    """Open the database that `url` names, whatever tables it has."""
    if not POSTGRES.match(url):
        return SqliteDatabase(file_of(url), is_owner=is_owner)
    parsed = read_postgres_url(url)
    check_postgres_driver()
    # Importing it takes a tenth of a start's time; most servers use SQLite.
    from llamakeep.storage.database.postgres.database import PostgresDatabase  # noqa: PLC0415

    direct = None if direct_url is None else _read_direct_url(direct_url)
    return PostgresDatabase(parsed, is_hurried=is_hurried, direct=direct)


def _read_direct_url(url: str) -> PostgresUrl:
    try:
        return read_postgres_url(url)
    except StorageUnavailable as error:
        name = "LLAMAKEEP_DATABASE_DIRECT_URL"
        detail = error.detail.replace("LLAMAKEEP_DATABASE_URL", name)
        raise StorageUnavailable(detail) from None


def check_postgres_driver() -> None:
    """
    Check that PostgreSQL's driver can be imported.

    Raises:
        StorageUnavailable: It is not installed.
    """
    for driver in ("asyncpg", "greenlet"):
        try:
            importlib.import_module(driver)
        except ModuleNotFoundError as error:
            raise StorageUnavailable(
                f"PostgreSQL's driver is not installed ({driver} is missing): `pip "
                "install 'llamakeep[postgres]'`, or in a checkout `pip install -e "
                "'.[postgres]'`."
            ) from error


def file_of(url: str) -> Path:
    """
    Return the file that SQLite's `url` names.

    Raises:
        StorageUnavailable: It names none.
    """
    with suppress(ArgumentError, ValueError):
        parsed = make_url(url)
        is_file = parsed.database not in {None, "", ":memory:"} and not parsed.host
        is_file = is_file and "\0" not in str(parsed.database)
        if parsed.get_backend_name() == "sqlite" and is_file:
            if "?" in url:
                raise StorageUnavailable(
                    "LLAMAKEEP_DATABASE_URL: SQLite's takes no parameters. Leave out "
                    "what begins with the question mark, so that it is such as "
                    "sqlite:///FILE."
                )
            return Path(str(parsed.database))
    raise StorageUnavailable(
        "LLAMAKEEP_DATABASE_URL must be sqlite:///FILE or "
        "postgresql://USER:PASSWORD@HOST/DATABASE."
    )
