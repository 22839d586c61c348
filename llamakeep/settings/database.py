"""Settings of the database, and of servers that share one."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from llamakeep.settings.values import NodeAddress


class DatabaseSettings(BaseSettings):
    """Where everything is kept, and how servers that share it reach each other."""

    database_url: str = Field(default="sqlite:///llamakeep.db", repr=False)
    """
    Where everything is kept: `sqlite:///FILE` or
    `postgresql://USER:PASSWORD@HOST/DATABASE`, with libpq's parameters such as
    `?sslmode=require`; see `docs/scaling.md`.
    """

    database_direct_url: str | None = Field(default=None, repr=False)
    """
    The address of the same PostgreSQL database past a pooler, if
    `LLAMAKEEP_DATABASE_URL` leads to one: each server holds one connection there, by
    which the others see at once that it was killed.
    """

    node_address: NodeAddress = None
    """
    An address of this computer and a port, at which servers on other computers that
    share a PostgreSQL database tell this one what is not stored yet, and are told it,
    over TLS: `10.0.0.5:8001`, or `[fd00::5]:8001`. Each worker takes the first free
    port from there on. Without it, only processes on the same computer do; see
    `docs/scaling.md`.
    """

    pg_dump: Path | None = None
    """
    PostgreSQL's `pg_dump`, with `pg_restore` beside it, for `llamakeep backup`.
    Without it: those on the `PATH`.
    """

    @model_validator(mode="after")
    def _direct_url_is_of_a_server(self) -> Self:
        direct = self.database_direct_url
        if direct is not None and not (
            direct.startswith("postgres") and self.database_url.startswith("postgres")
        ):
            raise ValueError(
                "LLAMAKEEP_DATABASE_DIRECT_URL is for PostgreSQL behind a pooler: "
                "leave it out, or set it and LLAMAKEEP_DATABASE_URL to postgresql://…"
            )
        return self

    @property
    def node_host_and_port(self) -> tuple[str, int] | None:
        """The parts of `node_address`."""
        if self.node_address is None:
            return None
        host, _, port = self.node_address.rpartition(":")
        return host.strip("[]"), int(port)

    @model_validator(mode="after")
    def _nodes_share_a_server(self) -> Self:
        if self.node_address and not self.database_url.startswith("postgres"):
            raise ValueError(
                "LLAMAKEEP_NODE_ADDRESS is for servers that share a PostgreSQL "
                "database: leave it out, or set LLAMAKEEP_DATABASE_URL to "
                "postgresql://…"
            )
        return self
