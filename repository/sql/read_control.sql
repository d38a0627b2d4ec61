-- Read what was asked of these flows of one tenant and by them; returns whose they are, their status and phase, control (a list of entries), whether they are lost and what is told of that, and the stamp of the newest that is known of them.
select
    flow.flow_id, flow.client_account_id, flow.engagement_id,
    flow.flow_status,
    known.current_phase,
    raw.metadata -> 'control' as control,
    -- include: is_lost
    as is_lost,
    raw.metadata -> 'lost' as lost,
    raw.metadata #>> '{_enrichment,newest}' as newest
from migration.crewai_flow_state_extensions as flow
-- include: summary_source
where
    flow.flow_id = any (cast(:flow_ids as uuid[]))
    and flow.client_account_id = :client_account_id
    and (cast(:engagement_ids as uuid[]) is null or flow.engagement_id = any (cast(:engagement_ids as uuid[])))
