-- List flows of one tenant in an order, those among the first :scanned candidates beyond a place that are meant, at most :most beyond the key.
-- Returns at least one row, whose flow_id is null where none is meant: what one summary is made of, its place (created_us, key),
-- and how far this looked: searched, is_end, end_us and end_id (null where that is a time between flows).
with
-- include: flow_candidates
,

page as materialized (
    select looked_at.id, looked_at.place, looked_at.created_at, looked_at.flow_id as tie, sorted.key
    from looked_at
    join migration.crewai_flow_state_extensions as flow on flow.id = looked_at.id
    -- include: flow_source
    cross join lateral (
        select
            -- include: flow_sort_key
            as key
        offset 0
    ) as sorted
    where
        -- include: flow_is_meant
        and (
            cast(:key as bigint) is null
            or
            -- include: beyond_key
        )
    order by
        -- include: key_order
    limit :most
)

-- Only of these are the big columns read.
select
    -- include: summary_columns
    ,
    page.key, page.place,
    -- In microseconds since 2000 as Postgres counts them: Python knows no time after 9999.
    case
        when isfinite(page.created_at) then ((extract(epoch from page.created_at) - 946684800) * 1000000)::bigint
        when page.created_at > '2000-01-01' then 9223372036854775807
        when page.created_at is not null then -9223372036854775807
    end as created_us,
    -- include: progress_columns
from progress
left join page on true
left join migration.crewai_flow_state_extensions as flow on flow.id = page.id
-- include: summary_source
order by
    -- include: key_order
