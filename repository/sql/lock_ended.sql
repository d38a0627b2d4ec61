-- Lock those of these flows that stand as they were read (:digests, one for each id) and that nobody else has locked; returns flow_id.
select flow.flow_id
from unnest(cast(:flow_ids as uuid[]), cast(:digests as text[])) as meant (flow_id, digest)
join migration.crewai_flow_state_extensions as flow on flow.flow_id = meant.flow_id
where
    meant.digest =
    -- include: row_digest
order by flow.flow_id
for update of flow skip locked
