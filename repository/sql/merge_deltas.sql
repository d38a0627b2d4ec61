-- Join deltas (one JSON object per flow, shape: repository/merge/deltas.py) to their master rows, locked in flow_id order; returns the key of each row.
-- A stamp (48 characters: microseconds, event id) and a mark (20: seconds, end of the id) sort as text;
-- "kept" is the bookkeeping under flow_metadata._enrichment.
with delta as (
    select *
    from jsonb_to_recordset(cast(:deltas as jsonb)) as delta (
        flow_id uuid, client_account_id uuid, engagement_id uuid,
        transitions jsonb, errors jsonb, collaborations jsonb,  -- [entry], oldest first, at most 100
        timings jsonb,                                          -- [{"mark", "phase", "execution_time_ms", "completed_at"}]
        memory jsonb, agents jsonb, metadata jsonb,             -- {"values": {key: value}, "stamps": {key: stamp}}
        retries jsonb,                                          -- [mark]
        started jsonb,                                          -- [stamp, phase]
        status jsonb            -- {"latest": [stamp, status], "final": [stamp, status], "failed": stamp, "reopened": stamp}
    )
),

-- The rows as they stand once locked, which is newer than the statement's snapshot where a lock was waited for.
old as materialized (
    select
        delta.*,
        flow.phase_transitions, flow.error_history, flow.agent_collaboration_log, flow.phase_execution_times,
        flow.memory_usage_metrics, flow.agent_performance_metrics, flow.flow_metadata, flow.flow_persistence_data, flow.flow_status
    from delta
    join migration.crewai_flow_state_extensions as flow
        on flow.flow_id = delta.flow_id
        -- Not "=", for which the planner might take the index of an engagement with many flows.
        and (flow.client_account_id, flow.engagement_id)
            is not distinct from (delta.client_account_id, delta.engagement_id)
    order by flow.flow_id
    for no key update of flow
)

update migration.crewai_flow_state_extensions as flow
set
    phase_transitions = coalesce(lists.phase_transitions, flow.phase_transitions),
    error_history = coalesce(lists.error_history, flow.error_history),
    agent_collaboration_log = coalesce(lists.agent_collaboration_log, flow.agent_collaboration_log),
    phase_execution_times = coalesce(times.phase_execution_times, flow.phase_execution_times),
    memory_usage_metrics = coalesce(maps.memory_usage_metrics, flow.memory_usage_metrics),
    agent_performance_metrics = coalesce(maps.agent_performance_metrics, flow.agent_performance_metrics),
    flow_persistence_data = case
        when start.is_newer
            then started.persistence || jsonb_build_object('current_phase', old.started -> 1)
        else flow.flow_persistence_data
    end,
    flow_status = coalesce(status.flow_status, flow.flow_status),
    retry_count = flow.retry_count + coalesce(windows.retried, 0),
    flow_metadata = case
        when bookkeeping.kept is null then flow.flow_metadata
        when old.transitions is null
            then coalesce(maps.flow_metadata, stored.metadata) || jsonb_build_object('_enrichment', bookkeeping.kept)
        else coalesce(maps.flow_metadata, stored.metadata)
            || jsonb_build_object('_enrichment', bookkeeping.kept, 'phase_transitions', listing.phases)
    end,
    updated_at = clock_timestamp()
from old
-- "#> '{}'" reads a compressed column once; "offset 0" keeps what was read.
cross join lateral (select old.flow_metadata #> '{}' as metadata offset 0) as raw
cross join lateral (
    select
        case jsonb_typeof(raw.metadata) when 'object' then raw.metadata else '{}' end as metadata,
        case jsonb_typeof(raw.metadata -> '_enrichment') when 'object' then raw.metadata -> '_enrichment' else '{}' end as kept
    offset 0
) as stored

-- Lists: the newest 100 by (timestamp, id). What is all newer than the last entry is appended; anything else is sorted in.
cross join lateral (
    select
        (array_agg(merged.entries) filter (where list.name = 'phase_transitions'))[1] as phase_transitions,
        (array_agg(merged.entries) filter (where list.name = 'error_history'))[1] as error_history,
        (array_agg(merged.entries) filter (where list.name = 'agent_collaboration_log'))[1] as agent_collaboration_log,
        bool_or(list.name = 'phase_transitions' and shape.is_append) as is_append,
        (array_agg(jsonb_array_length(shape.entries)) filter (where list.name = 'phase_transitions'))[1] as transitions_before,
        jsonb_object_agg(list.name, list.was) filter (where jsonb_typeof(list.was) not in ('array', 'null')) as displaced
    from (
        select name, fresh, was #> '{}' as was
        from (
            values
            ('phase_transitions', old.transitions, old.phase_transitions),
            ('error_history', old.errors, old.error_history),
            ('agent_collaboration_log', old.collaborations, old.agent_collaboration_log)
        ) as touched (name, fresh, was)
        where fresh is not null
        offset 0
    ) as list
    cross join lateral (
        select
            before.entries,
            jsonb_array_length(before.entries) + jsonb_array_length(list.fresh) - 100 as surplus,
            jsonb_array_length(list.fresh) <= 50
            and (
                jsonb_array_length(before.entries) = 0
                or coalesce(
                    length(before.entries -> -1 ->> 'timestamp') = 32
                    and (before.entries -> -1 ->> 'timestamp') || (before.entries -> -1 ->> 'id')
                    < ((list.fresh -> 0 ->> 'timestamp') || (list.fresh -> 0 ->> 'id')) collate "C",
                    false
                )
            )
            -- None of those that now leave the newest 50 is due for shortening.
            and not exists (
                select
                from jsonb_path_query(
                    before.entries,
                    '$[$from to $to]',
                    jsonb_build_object(
                        'from', greatest(jsonb_array_length(before.entries) - 50, 0),
                        'to', jsonb_array_length(before.entries) + jsonb_array_length(list.fresh) - 51
                    )
                ) as leaving (entry)
                where octet_length(leaving.entry::text) > 1100
            ) as is_append
        from (select case jsonb_typeof(list.was) when 'array' then list.was else '[]' end as entries offset 0) as before
        offset 0
    ) as shape
    cross join lateral (
        select case
            when shape.is_append and shape.surplus <= 0 then shape.entries || list.fresh
            when shape.is_append
                then jsonb_path_query_array(shape.entries, '$[$surplus to last]', jsonb_build_object('surplus', shape.surplus)) || list.fresh
            else (
                select jsonb_agg(
                    case
                        -- The newest 50 entries may have 4 KB each, the 50 before them 1,100 bytes: 256 KB in all.
                        when ranked.place > 50 and octet_length(ranked.entry::text) > 1100
                            then jsonb_strip_nulls(jsonb_build_object(
                                'id', ranked.entry -> 'id',
                                'timestamp', left(ranked.entry ->> 'timestamp', 32),
                                'phase', left(ranked.entry ->> 'phase', 40),
                                'status', left(ranked.entry ->> 'status', 20),
                                'agent', left(ranked.entry ->> 'agent', 40),
                                'action', left(ranked.entry ->> 'action', 40),
                                'error', left(ranked.entry ->> 'error', 80),
                                'truncated', format('…[truncated %s chars]', length(ranked.entry::text))
                            ))
                        else ranked.entry
                    end
                    order by ranked.place desc
                )
                from (
                    select
                        entry,
                        row_number() over (order by moment collate "C" desc, id collate "C" desc, position desc) as place
                    from (
                        select
                            entry,
                            case
                                when length(entry ->> 'timestamp') = 32 and right(entry ->> 'timestamp', 6) = '+00:00'
                                    then left(entry ->> 'timestamp', 26)
                                when entry ->> 'timestamp' ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?$'
                                    then rpad(regexp_replace(
                                        translate(substring(entry ->> 'timestamp' from '^[0-9T :.-]{19}(?:\.\d{1,6})?'), ' ', 'T'),
                                        '^([^.]+)$', '\1.'
                                    ), 26, '0')
                                else ''
                            end as moment,
                            coalesce(entry ->> 'id', '') as id,
                            position
                        from (
                            select entry, position from jsonb_array_elements(shape.entries) with ordinality as kept (entry, position)
                            union all
                            select entry, 0
                            from jsonb_array_elements(list.fresh) as added (entry)
                            where not exists (
                                select from jsonb_array_elements(shape.entries) as present (entry)
                                where present.entry ->> 'id' = added.entry ->> 'id'
                            )
                        ) as candidates
                    ) as timed
                ) as ranked
                where ranked.place <= 100
            )
        end as entries
        offset 0
    ) as merged
) as lists

-- The listing: "phase:status" of the same transitions, for readers who leave the big column alone.
cross join lateral (
    select case
        when old.transitions is null then null
        when lists.is_append and jsonb_array_length(known.phases) = lists.transitions_before
            then jsonb_path_query_array(
                known.phases || (
                    select jsonb_agg((entry ->> 'phase') || ':' || (entry ->> 'status') order by position)
                    from jsonb_array_elements(old.transitions) with ordinality as added (entry, position)
                ),
                '$[last - 99 to last]'
            )
        else (
            select jsonb_agg(
                left(coalesce(entry ->> 'phase', '?'), 100) || ':' || left(coalesce(entry ->> 'status', '?'), 40) order by position
            )
            from jsonb_array_elements(lists.phase_transitions) with ordinality as kept (entry, position)
        )
    end as phases
    from (
        select case jsonb_typeof(stored.metadata -> 'phase_transitions')
            when 'array' then stored.metadata -> 'phase_transitions' else '[]'
        end as phases
    ) as known
) as listing

-- Windows: the newest 256 marks of what is counted; an id that has its mark there does not count again.
cross join lateral (
    select
        jsonb_object_agg(name, merged.marks) as marks,
        sum(merged.added) filter (where name = 'retries') as retried
    from (
        values
        ('retries', old.retries),
        ('timings', jsonb_path_query_array(old.timings, '$[*].mark'))
    ) as counted (name, fresh)
    cross join lateral (
        select
            jsonb_agg(mark order by mark collate "C") filter (where place <= 256) as marks,
            count(*) filter (where is_new) as added
        from (
            select mark, is_new, row_number() over (order by mark collate "C" desc) as place
            from (
                select mark, false as is_new from jsonb_array_elements_text(stored.kept -> name) as seen (mark)
                union all
                select mark, true
                from jsonb_array_elements_text(fresh) as added (mark)
                where not exists (
                    select from jsonb_array_elements_text(stored.kept -> name) as seen (mark)
                    where right(seen.mark, 12) = right(added.mark, 12)
                )
            ) as candidates
        ) as ranked
    ) as merged
    where fresh is not null
) as windows

-- Times: per phase the newest time, ties to the longer one, and how many were taken; the newest 256 phases.
left join lateral (
    select
        (
            select jsonb_object_agg(phase, timed)
            from (
                select
                    phase,
                    timed,
                    row_number() over (order by timed ? 'attempts', timed ->> 'completed_at' collate "C" desc, phase collate "C") as place
                from jsonb_each(before.times || (
                    select jsonb_object_agg(
                        phase,
                        was
                        || case
                            when (newest ->> 'completed_at', newest -> 'execution_time_ms') > (
                                coalesce(was ->> 'completed_at', was ->> 'recorded_at', '') collate "C",
                                coalesce(was -> 'execution_time_ms', 'null')
                            ) then newest
                            else '{}'
                        end
                        || jsonb_build_object(
                            'attempts',
                            taken + case
                                when jsonb_typeof(was -> 'attempts') = 'number' then (was ->> 'attempts')::numeric
                                when was = '{}' then 0
                                else 1
                            end
                        )
                    )
                    from (
                        select
                            phase,
                            count(*) as taken,
                            (array_agg(
                                jsonb_build_object('execution_time_ms', execution_time_ms, 'completed_at', completed_at)
                                order by completed_at collate "C" desc, execution_time_ms desc
                            ))[1] as newest,
                            case jsonb_typeof(before.times -> phase)
                                when 'object' then before.times -> phase
                                else jsonb_strip_nulls(jsonb_build_object('legacy', before.times -> phase))
                            end as was
                        from jsonb_to_recordset(old.timings)
                            as timing (mark text, phase text, execution_time_ms jsonb, completed_at text)
                        where not exists (
                            select from jsonb_array_elements_text(stored.kept -> 'timings') as seen (mark)
                            where right(seen.mark, 12) = right(timing.mark, 12)
                        )
                        group by phase
                    ) as fresh
                )) as known (phase, timed)
            ) as ranked
            where place <= 256 or not timed ? 'attempts'
        ) as phase_execution_times,
        case when jsonb_typeof(before.was) not in ('object', 'null') then before.was end as displaced
    from (
        select
            old.phase_execution_times as was,
            case jsonb_typeof(old.phase_execution_times) when 'object' then old.phase_execution_times else '{}' end as times
    ) as before
    where old.timings is not null
) as times on true

-- Maps: per key the value of the newest stamp; the newest 100 keys, of which the newest 16 may have 4 KB each.
cross join lateral (
    select
        (array_agg(merged.document) filter (where map.name = 'memory_usage_metrics'))[1] as memory_usage_metrics,
        (array_agg(merged.document) filter (where map.name = 'agent_performance_metrics'))[1] as agent_performance_metrics,
        (array_agg(merged.document) filter (where map.name = 'flow_metadata'))[1] as flow_metadata,
        jsonb_object_agg(map.name, merged.stamps) as clocks,
        jsonb_object_agg(map.name, map.was) filter (where jsonb_typeof(map.was) not in ('object', 'null')) as displaced
    from (
        select name, fresh, was #> '{}' as was
        from (
            values
            ('memory_usage_metrics', old.memory, old.memory_usage_metrics),
            ('agent_performance_metrics', old.agents, old.agent_performance_metrics),
            ('flow_metadata', old.metadata, raw.metadata)
        ) as touched (name, fresh, was)
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
        where stamp > coalesce(before.stamps ->> key, '') collate "C"
        offset 0
    ) as joined
    cross join lateral (
        select
            coalesce(array_agg(key) filter (where place > 100), '{}') as evicted,
            jsonb_object_agg(key, format('…[truncated %s chars]', length(value::text)))
                filter (where place between 17 and 100 and length(value::text) > 900) as shortened
        from (
            select key, joined.document -> key as value, row_number() over (order by stamp collate "C" desc) as place
            from jsonb_each_text(joined.stamps) as known (key, stamp)
        ) as ranked
    ) as crowd
    cross join lateral (
        select
            case
                when crowd.evicted = '{}' and crowd.shortened is null then joined.document
                else (joined.document - crowd.evicted) || coalesce(crowd.shortened, '{}')
            end as document,
            joined.stamps - crowd.evicted as stamps
        offset 0
    ) as merged
) as maps

-- The current phase: that of the newest start.
cross join lateral (
    select
        old.started is not null and (old.started ->> 0) > coalesce(stored.kept ->> 'phase', '') collate "C" as is_newer
) as start
left join lateral (
    select
        case jsonb_typeof(old.flow_persistence_data) when 'object' then old.flow_persistence_data else '{}' end as persistence,
        case when jsonb_typeof(old.flow_persistence_data) not in ('object', 'null') then old.flow_persistence_data end as displaced
) as started on start.is_newer

-- The status: the earliest final one; else failed, unless reopened later; else the newest.
left join lateral (
    select
        case
            when ended_before then old.flow_status
            when final is not null then final ->> 1
            when failed > coalesce(reopened, '') collate "C" or (failed = '' and reopened is null) then 'failed'
            when failed is not null and coalesce(latest ->> 0, '') < reopened collate "C" then 'processing'
            else coalesce(latest ->> 1, old.flow_status)
        end as flow_status,
        jsonb_strip_nulls(jsonb_build_object(
            'latest', latest, 'final', case when not ended_before then final end, 'failed', failed, 'reopened', reopened
        )) as kept
    from (
        select
            -- A final or failed status without a stamp was there before the first event, and older than it.
            old.flow_status in ('completed', 'cancelled') and was -> 'final' is null as ended_before,
            greatest(
                was ->> 'failed', old.status ->> 'failed', case when old.flow_status = 'failed' and not was ? 'failed' then '' end
            ) collate "C" as failed,
            greatest(was ->> 'reopened', old.status ->> 'reopened') collate "C" as reopened,
            case
                when coalesce(was -> 'latest' ->> 0, '') > coalesce(old.status -> 'latest' ->> 0, '') collate "C" then was -> 'latest'
                else old.status -> 'latest'
            end as latest,
            case
                when coalesce(was -> 'final' ->> 0, '~') < coalesce(old.status -> 'final' ->> 0, '~') collate "C" then was -> 'final'
                else old.status -> 'final'
            end as final
        from (select coalesce(stored.kept -> 'status', '{}') as was) as before
    ) as known
    where old.status is not null
) as status on true

-- What stood in a column as another type of JSON is set aside whole.
cross join lateral (
    select
        case when jsonb_typeof(raw.metadata) not in ('object', 'null') then jsonb_build_object('flow_metadata', raw.metadata) else '{}' end
        || coalesce(lists.displaced, '{}')
        || coalesce(maps.displaced, '{}')
        || case when times.displaced is null then '{}' else jsonb_build_object('phase_execution_times', times.displaced) end
        || case when started.displaced is null then '{}' else jsonb_build_object('flow_persistence_data', started.displaced) end
        as columns
) as displaced

-- The bookkeeping, or null when nothing of it changes.
cross join lateral (
    select case
        when displaced.columns = '{}' and coalesce(
            old.transitions, old.timings, old.memory, old.agents, old.metadata, old.retries, old.status
        ) is null then null
        else stored.kept
            || coalesce(windows.marks, '{}')
            || case when maps.clocks is null then '{}' else jsonb_build_object('clocks', coalesce(stored.kept -> 'clocks', '{}') || maps.clocks) end
            || case when start.is_newer then jsonb_build_object('phase', old.started -> 0) else '{}' end
            || case when status.kept is null then '{}' else jsonb_build_object('status', status.kept) end
            || case
                when displaced.columns = '{}' then '{}'
                else jsonb_build_object('displaced', displaced.columns || coalesce(stored.kept -> 'displaced', '{}'))
            end
    end as kept
) as bookkeeping
where flow.flow_id = old.flow_id
returning flow.flow_id, flow.client_account_id, flow.engagement_id
