-- Count the flows of one tenant by status and type, those among the first :scanned candidates beyond a place that are meant, and how they stand.
-- Returns at least one row, whose flow_status is null where none is meant, and how far this looked, as list_flows.sql does.
with
-- include: flow_candidates

select
    counted.flow_status, counted.flow_type, counted.flows, counted.lost, counted.silent, counted.overdue, counted.waiting,
    -- include: progress_columns
from progress
left join (
    select
        flow.flow_status, flow.flow_type,
        count(*) as flows,
        count(*) filter (where stands.is_lost) as lost,
        count(*) filter (where flow.flow_id = any (cast(:silent_ids as uuid[]))) as silent,
        count(*) filter (where stands.is_overdue) as overdue,
        count(*) filter (where stands.waiting_us is not null) as waiting
    from looked_at
    join migration.crewai_flow_state_extensions as flow on flow.id = looked_at.id
    -- include: flow_source
    -- Of most flows, which have ended, nothing else is read.
    left join lateral (
        select
            case when flow.flow_id = any (cast(:held_ids as uuid[])) then flow.flow_id = any (cast(:lost_ids as uuid[])) else
                -- include: is_lost
            end as is_lost,
            -- include: is_overdue
            as is_overdue,
            -- include: waiting_since
            as waiting_us
        from (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
    ) as stands on flow.flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')
    where
        -- include: flow_is_meant
    group by flow.flow_status, flow.flow_type
) as counted on true
