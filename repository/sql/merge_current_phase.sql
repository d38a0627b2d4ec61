-- A part of merge_deltas.sql: the current phase is that of the newest start.
cross join lateral (
    select
        old.started is not null
        and (old.started ->> 0) > coalesce(stored.kept ->> 'phase', stored.since, '') collate "C" as is_newer
    offset 0
) as start
left join lateral (
    select
        case jsonb_typeof(old.flow_persistence_data) when 'object' then old.flow_persistence_data else '{}' end as persistence,
        case when jsonb_typeof(old.flow_persistence_data) not in ('object', 'null') then old.flow_persistence_data end as displaced
    limit start.is_newer::int
) as started on true
