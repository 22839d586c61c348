"""
Images: their bytes, once for each user, and which runs show them.

They are written with the run that brings them, in one transaction, and deleted with the
last run that shows them: a trigger does that, whatever deletes the run.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from llamakeep.domain import Image, Run, User
from llamakeep.errors import ImageNotFound
from llamakeep.storage.database.columns import colliding_insert
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import images, run_images


class StoredImage(NamedTuple):
    """What is known of an image that is kept, without its bytes."""

    media_type: str
    size: int


class ImageStorage:
    """Reads images."""

    _database: Database

    async def get_image(self, user: User, run_id: str, sha256: str) -> StoredImage:
        """
        Return what an image is that one of `user`'s runs shows.

        Raises:
            ImageNotFound: There is no such run, or it does not show that image.
        """
        query = (
            select(images.c.media_type, images.c.size)
            .join(run_images)
            .where(
                run_images.c.run_id == run_id,
                run_images.c.sha256 == sha256,
                run_images.c.user_id == user.id,
            )
        )
        row = await self._database.read(
            lambda connection: connection.execute(query).one_or_none()
        )
        if row is None:
            raise ImageNotFound(
                f"No run {run_id!r} of your history shows an image {sha256!r}."
            )
        return StoredImage(*row)

    async def image_data(
        self, user_id: str, hashes: Collection[str]
    ) -> Mapping[str, bytes]:
        """Return the bytes of those of a user's images that are kept, by hash."""
        query = select(images.c.sha256, images.c.data).where(
            images.c.user_id == user_id, images.c.sha256.in_(hashes)
        )
        return await self._database.read(
            lambda connection: {
                row.sha256: row.data for row in connection.execute(query)
            }
        )


def find_missing(connection: Connection, new: Sequence[Run]) -> Run | None:
    """Return a run that shows an image which neither it nor one before it brings."""
    brought: set[tuple[str, str | None]] = set()
    for run in new:
        for image in run.images:
            if image.data is not None:
                brought.add((run.user_id, image.sha256))
            elif (run.user_id, image.sha256) not in brought:
                if not _is_kept(connection, run.user_id, image):
                    return run
                brought.add((run.user_id, image.sha256))
    return None


def missing_image(connection: Connection, run: Run) -> ImageNotFound | None:
    """Return the error of a run that shows an image which is not there any more."""
    if find_missing(connection, [run]) is None:
        return None
    return ImageNotFound(
        "An image that the request refers to was deleted. Nothing was stored. Send the "
        "image itself."
    )


def add_images(connection: Connection, new: Iterable[Run]) -> None:
    """
    Store the images of new runs, in the transaction that stores the runs.

    Of one that is kept already, no bytes are written. If one is deleted meanwhile, the
    foreign key raises an `IntegrityError`, and the transaction is repeated.
    """
    for run in new:
        for image in run.images:
            if image.data is not None:
                _add(connection, run.user_id, image)
        rows = [
            {"run_id": run.id, "sha256": image.sha256, "user_id": run.user_id}
            for image in run.images
        ]
        if rows:
            connection.execute(insert(run_images), rows)


def _add(connection: Connection, user_id: str, image: Image) -> None:
    if _is_kept(connection, user_id, image):
        return
    connection.execute(
        colliding_insert(connection, images)
        .values(
            user_id=user_id,
            sha256=image.sha256,
            media_type=image.media_type,
            size=image.size,
            data=image.data,
        )
        .on_conflict_do_nothing()
    )


def _is_kept(connection: Connection, user_id: str, image: Image) -> bool:
    query = select(images.c.size).where(
        images.c.user_id == user_id, images.c.sha256 == image.sha256
    )
    return connection.scalar(query) is not None
