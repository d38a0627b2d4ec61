-- Find what flows of one tenant count for, those among the first :scanned candidates beyond a place that are meant; returns fleet_columns.sql, and their place.
-- Returns at least one row, whose flow_id is null where none is meant, and how far this looked, as list_flows.sql does.
with
-- include: flow_candidates

select
    -- include: fleet_columns
    ,
    page.place,
    -- include: progress_columns
from progress
left join (
    select looked_at.id, looked_at.place
    from looked_at
    join migration.crewai_flow_state_extensions as flow on flow.id = looked_at.id
    -- include: flow_source
    where
        -- include: flow_is_meant
) as page on true
left join migration.crewai_flow_state_extensions as flow on flow.id = page.id
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
order by page.place
