"""Settings of the database."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings


class DatabaseSettings(BaseSettings):
    """Where everything is kept."""

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
