-- Thin these flows, which are locked, to what summaries are made of; returns flow_id. updated_at stays as it is.
-- Of a saved state only current_phase stays. Entries and maps keep what is plain and short: texts of 400 characters, and one
-- level below them of 200; lists of 200 bytes. An entry that lost something says "thinned"; flow_metadata._thinned says of the row
-- when that was, and which row stood there before.
with meant as materialized (
    select
        flow.*,
        -- include: row_digest
        as digest_before
    from migration.crewai_flow_state_extensions as flow
    where flow.flow_id = any (cast(:flow_ids as uuid[]))
),

piece as materialized (
    select meant.flow_id, list.name, entry.place, entry.value as whole
    from meant
    cross join lateral (
        values
        ('transitions', meant.phase_transitions), ('errors', meant.error_history), ('collaborations', meant.agent_collaboration_log)
    ) as list (name, entries)
    cross join lateral jsonb_array_elements(case jsonb_typeof(list.entries) when 'array' then list.entries else '[]' end)
        with ordinality as entry (value, place)
    union all
    select meant.flow_id, map.name, 0, map.value
    from meant
    cross join lateral (
        values
        ('memory', meant.memory_usage_metrics),
        ('agents', case jsonb_typeof(meant.agent_performance_metrics) when 'object' then meant.agent_performance_metrics - 'usage' end),
        ('metadata', case jsonb_typeof(meant.flow_metadata) when 'object' then meant.flow_metadata - cast(:kept_keys as text[]) end)
    ) as map (name, value)
    where jsonb_typeof(map.value) = 'object'
),

short as materialized (
    select
        piece.flow_id, piece.name, piece.place, piece.whole,
        case when jsonb_typeof(piece.whole) = 'object' then (
            select coalesce(jsonb_object_agg(item.key, plain.value), '{}')
            from jsonb_each(piece.whole) as item (key, value)
            cross join lateral (
                select case jsonb_typeof(item.value)
                    when 'string' then case
                        when length(item.value #>> '{}') <= 400 then item.value
                        else to_jsonb(
                            left(item.value #>> '{}', 400) || '…[truncated ' || length(item.value #>> '{}') - 400 || ' chars]'
                        )
                    end
                    when 'object' then (
                        select coalesce(
                            jsonb_object_agg(
                                below.key,
                                case
                                    when jsonb_typeof(below.value) = 'string' and length(below.value #>> '{}') > 200 then to_jsonb(
                                        left(below.value #>> '{}', 200)
                                        || '…[truncated ' || length(below.value #>> '{}') - 200 || ' chars]'
                                    )
                                    else below.value
                                end
                            ),
                            '{}'
                        )
                        from jsonb_each(item.value) as below (key, value)
                        where jsonb_typeof(below.value) not in ('object', 'array')
                    )
                    when 'array' then case when octet_length(item.value::text) <= 200 then item.value end
                    else item.value
                end as value
                offset 0
            ) as plain
            where plain.value is not null
        ) else piece.whole end as rest
    from piece
),

part as materialized (
    select
        flow_id,
        jsonb_agg(case when rest = whole then whole else rest || '{"thinned": true}' end order by place)
            filter (where name = 'transitions') as transitions,
        jsonb_agg(case when rest = whole then whole else rest || '{"thinned": true}' end order by place)
            filter (where name = 'errors') as errors,
        jsonb_agg(case when rest = whole then whole else rest || '{"thinned": true}' end order by place)
            filter (where name = 'collaborations') as collaborations,
        (array_agg(rest) filter (where name = 'memory'))[1] as memory,
        (array_agg(rest) filter (where name = 'agents'))[1] as agents,
        (array_agg(rest) filter (where name = 'metadata'))[1] as metadata
    from short
    group by flow_id
)

update migration.crewai_flow_state_extensions as flow
set
    flow_persistence_data = case
        when jsonb_typeof(meant.flow_persistence_data) <> 'object' then meant.flow_persistence_data
        when meant.flow_persistence_data ? 'current_phase'
            then jsonb_build_object('current_phase', meant.flow_persistence_data -> 'current_phase')
        else '{}'
    end,
    phase_transitions = coalesce(part.transitions, meant.phase_transitions),
    error_history = coalesce(part.errors, meant.error_history),
    agent_collaboration_log = coalesce(part.collaborations, meant.agent_collaboration_log),
    memory_usage_metrics = coalesce(part.memory, meant.memory_usage_metrics),
    agent_performance_metrics = case
        when part.agents is null then meant.agent_performance_metrics
        when meant.agent_performance_metrics ? 'usage'
            then part.agents || jsonb_build_object('usage', meant.agent_performance_metrics -> 'usage')
        else part.agents
    end,
    flow_metadata = coalesce(part.metadata, '{}')
        || coalesce(
            (
                select jsonb_object_agg(item.key, item.value)
                from jsonb_each(case jsonb_typeof(meant.flow_metadata) when 'object' then meant.flow_metadata end) as item (key, value)
                where item.key = any (cast(:kept_keys as text[]))
            ),
            '{}'
        )
        || jsonb_build_object('_thinned', jsonb_build_object('at', to_jsonb(clock_timestamp()), 'digest', meant.digest_before))
from meant
left join part on part.flow_id = meant.flow_id
where flow.flow_id = meant.flow_id
returning flow.flow_id
