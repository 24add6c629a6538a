"""Files whose row was never written, their call or message having been lost in between: swept away a day later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from app.storage.blobs import Blobs
from app.storage.database import Database
from app.storage.strays import FilesOf, strays

#: Between two searches.
STRAYS_S: Final = 6 * 3600.0
#: A file without a row is younger only while that may still be written.
STRAY_AFTER_S: Final = 86_400.0
LOOKED_UP_AT_ONCE: Final = 200


async def sweep_strays(
    db: Database, blobs: Blobs, table: FilesOf, delete: Callable[[str, list[str]], Awaitable[None]]
) -> int:
    """`delete` a tenant's old files without a row in `table`, portion by portion; how many.

    Raises OSError for an ill disk, and Problem as the database does.
    """
    count = 0
    for tenant_id, days in await blobs.folders():
        names = await blobs.older(tenant_id, days, STRAY_AFTER_S)
        for start in range(0, len(names), LOOKED_UP_AT_ONCE):
            found = await _without_row(db, tenant_id, table, names[start : start + LOOKED_UP_AT_ONCE])
            await delete(tenant_id, found)
            count += len(found)
    return count


async def _without_row(db: Database, tenant_id: str, table: FilesOf, names: list[str]) -> list[str]:
    return await db.read(tenant_id, lambda transaction: strays(transaction, tenant_id, table, names))
