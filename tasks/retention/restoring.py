"""An archive put back into the table, file after file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.repository.database import translated_errors
from masterflow.repository.retention.restored import ArchivedFlow, link_parents, restore_flows
from masterflow.tasks.retention.archive import Archive, read_archive

_MOST: Final = 100
_MOST_BYTES: Final = 8_000_000


@dataclass(slots=True)
class Restored:
    """What came of it."""

    restored: int = 0
    #: They were there already, and stay as they are.
    there: int = 0
    #: The line does not hold what was archived.
    damaged: int = 0
    first_damaged: UUID | None = None
    #: Flows whose parent is not there.
    parents_missing: int = 0


async def restore_archive(
    sessions: async_sessionmaker[AsyncSession],
    archive: Archive,
    *,
    client_account_id: UUID | None = None,
    engagement_id: UUID | None = None,
) -> Restored:
    """Put back the rows of a tenant, or of all; run again it goes on where it was ended.

    InputInvalid passes where a file is no archive or does not fit the table, and DatabaseUnavailable.
    """
    result, parents = Restored(), dict[UUID, UUID]()
    for path in archive.files(client_account_id, engagement_id):
        flows = read_archive(path, client_account_id=client_account_id, engagement_id=engagement_id)
        for batch in _batches(flows):
            async with translated_errors(), sessions.begin() as db:
                outcome = await restore_flows(db, batch)
            for one in outcome:
                is_done = one.is_inserted or one.is_replaced
                result.restored += is_done
                result.damaged += not one.is_whole
                result.there += one.is_whole and not is_done
                if not one.is_whole and result.first_damaged is None:
                    result.first_damaged = one.flow_id
            parents |= {flow.flow_id: flow.parent_flow_id for flow in batch if flow.parent_flow_id}
    async with translated_errors(), sessions.begin() as db:
        result.parents_missing = await link_parents(db, parents) if parents else 0
    return result


def _batches(flows: Iterator[ArchivedFlow]) -> Iterator[list[ArchivedFlow]]:
    batch, size = list[ArchivedFlow](), 0
    for flow in flows:
        if batch and (len(batch) >= _MOST or size + len(flow.line) > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(flow)
        size += len(flow.line)
    if batch:
        yield batch
