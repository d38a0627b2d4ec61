-- Count the flows of one tenant by status and type, those among the first :scanned candidates beyond a place that are meant.
-- Returns at least one row, whose flow_status is null where none is meant, and how far this looked, as list_flows.sql does.
with
-- include: flow_candidates

select
    counted.flow_status, counted.flow_type, counted.flows,
    -- include: progress_columns
from progress
left join (
    select flow.flow_status, flow.flow_type, count(*) as flows
    from looked_at
    join migration.crewai_flow_state_extensions as flow on flow.id = looked_at.id
    -- include: flow_source
    where
        -- include: flow_is_meant
    group by flow.flow_status, flow.flow_type
) as counted on true
