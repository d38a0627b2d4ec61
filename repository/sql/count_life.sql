-- Count the open flows of all tenants that are lost, without those that a living process holds, and those that are overdue; returns lost, overdue.
-- All types are named because there is an index on type and status, and none on the status alone.
select
    count(*) filter (where is_lost and flow_id <> all (cast(:alive_ids as uuid[]))) as lost,
    count(*) filter (where is_overdue) as overdue
from (
    select
        flow.flow_id,
        -- include: is_lost
        as is_lost,
        -- include: is_overdue
        as is_overdue
    from migration.crewai_flow_state_extensions as flow
    cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
    where
        flow.flow_type = any (cast(:flow_types as text[]))
        and flow.flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')
) as open_flows
