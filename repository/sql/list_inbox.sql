-- List flows of one tenant that wait for somebody, by their status or with a question that is not settled; those that wait longest come first.
-- Returns the first :most of them after the place (:after_us, :after_id), each with since_us (microseconds since 1970) and control (a list of entries).
with waiting as materialized (
    select flow.id, flow.flow_id, least(moment.since_us, 253402300799000000) as since_us
    from migration.crewai_flow_state_extensions as flow
    cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
    cross join lateral (
        select
            -- include: waiting_since
            as since_us
        offset 0
    ) as moment
    where
        flow.client_account_id = :client_account_id
        and (cast(:engagement_ids as uuid[]) is null or flow.engagement_id = any (cast(:engagement_ids as uuid[])))
        and flow.flow_status in ('paused', 'waiting_for_approval', 'initialized', 'active', 'processing')
        and moment.since_us is not null
)

select
    flow.flow_id, flow.engagement_id, flow.user_id, flow.flow_type, flow.flow_name, flow.flow_status,
    known.current_phase,
    raw.metadata -> 'last_progress_update' as snapshot,
    raw.metadata -> 'control' as control,
    waiting.since_us
from (
    select * from waiting
    where cast(:after_id as uuid) is null or (since_us, flow_id) > (cast(:after_us as bigint), cast(:after_id as uuid))
    order by since_us, flow_id
    limit :most
) as waiting
join migration.crewai_flow_state_extensions as flow on flow.id = waiting.id
-- include: summary_source
order by waiting.since_us, waiting.flow_id
