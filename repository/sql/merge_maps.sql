-- A part of merge_deltas.sql: per key the value of the newest stamp; the newest 100 keys, of which a few may have 4 KB and
-- the others 2 KB. What the application relies on stands outside the ranking. In flow_metadata the oldest keys make room for
-- what was asked of the flow.
left join lateral (
    select
        (array_agg(merged.document) filter (where map.name = 'memory_usage_metrics'))[1] as memory_usage_metrics,
        (array_agg(merged.document) filter (where map.name = 'agent_performance_metrics'))[1] as agent_performance_metrics,
        (array_agg(merged.document) filter (where map.name = 'flow_metadata'))[1] as flow_metadata,
        jsonb_object_agg(map.name, merged.stamps) filter (where merged.stamps <> '{}') as clocks,
        jsonb_object_agg(map.name, map.was) filter (where jsonb_typeof(map.was) not in ('object', 'null')) as displaced
    from (
        select name, whole_keys, most_keys, fresh, was #> '{}' as was
        from (
            values
            ('memory_usage_metrics', 16, 100, old.memory, old.memory_usage_metrics),
            ('agent_performance_metrics', 16, 100, old.agents, old.agent_performance_metrics),
            (
                'flow_metadata', 2, 100 - coalesce(noted.places, 0),
                coalesce(old.metadata, case when noted.metadata is not null then '{"values": {}, "stamps": {}}'::jsonb end),
                raw.metadata
            )
        ) as touched (name, whole_keys, most_keys, fresh, was)
        where fresh is not null
        offset 0
    ) as map
    cross join lateral (
        select coalesce(stored.kept -> 'clocks' -> map.name, '{}') as stamps
    ) as before
    cross join lateral (
        select
            case jsonb_typeof(map.was) when 'object' then map.was else '{}' end
            || coalesce(jsonb_object_agg(key, map.fresh -> 'values' -> key), '{}') as document,
            before.stamps || coalesce(jsonb_object_agg(key, stamp), '{}') as stamps
        from jsonb_each_text(map.fresh -> 'stamps') as fresh (key, stamp)
        -- What is no stamp sorts after all of them and counts as none.
        where stamp > coalesce(
            case when (before.stamps ->> key) < ';' collate "C" then before.stamps ->> key end, stored.since, ''
        ) collate "C"
        offset 0
    ) as joined
    cross join lateral (
        select
            coalesce(array_agg(key) filter (where place > map.most_keys), '{}') as evicted,
            jsonb_object_agg(key, shorter.value) filter (where place <= map.most_keys and shorter.value is not null) as shortened
        from (
            select key, joined.document -> key as value, row_number() over (order by stamp collate "C" desc, key collate "C") as place
            from jsonb_each_text(joined.stamps) as known (key, stamp)
            where case map.name
                when 'flow_metadata' then key not in ('last_progress_update', 'progress_snapshot', 'resume_data', 'pause_reason', 'usage_budget', 'usage', 'lost')
                else map.name = 'memory_usage_metrics' or key <> 'usage'
            end
        ) as ranked
        left join lateral (
            -- include: merge_short_value
            limit (
                ranked.place > map.whole_keys
                -- The longer a key, which stands in the bookkeeping too, the less room for its value.
                and octet_length(ranked.value::text) > 2060 - 4 * greatest(octet_length(ranked.key) - 24, 0)
            )::int
        ) as shorter on true
    ) as crowd
    cross join lateral (
        select
            case
                -- Nothing is newer than what stands there.
                when joined.stamps - crowd.evicted = before.stamps and not coalesce(map.was ?| crowd.evicted, false) then null
                when crowd.evicted = '{}' and crowd.shortened is null then joined.document
                else (joined.document - crowd.evicted) || coalesce(crowd.shortened, '{}')
            end as document,
            joined.stamps - crowd.evicted as stamps
        offset 0
    ) as merged
    limit (coalesce(old.memory, old.agents, old.metadata, noted.metadata) is not null)::int
) as maps on true
