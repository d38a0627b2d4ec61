-- Join deltas (one JSON object per flow, shape: repository/merge/deltas.py) to their master rows, locked in flow_id order.
-- Returns the key of each row of these flows and tenants, and whether it was written: what changes nothing is not.
-- A stamp (48 characters: microseconds, event id) and a mark (20: seconds, hash of the id) sort as text;
-- "kept" is the bookkeeping under flow_metadata._enrichment. docs/adr/0001 says why each part is what it is.
with delta as (
    select *
    from jsonb_to_recordset(cast(:deltas as jsonb)) as delta (
        flow_id uuid, client_account_id uuid, engagement_id uuid,
        transitions jsonb, errors jsonb, collaborations jsonb,  -- [entry], oldest first, at most 100
        times jsonb,                                            -- {phase: {"execution_time_ms", "completed_at"}}, the newest of each phase
        counted jsonb,                                          -- {name: {"numbered": [[counter, number, time]], "marked": [[mark, old mark, time]]}}
        memory jsonb, agents jsonb, metadata jsonb,             -- {"values": {key: value}, "stamps": {key: stamp}}
        started jsonb,                                          -- [stamp, phase]
        status jsonb                                            -- {"latest": [stamp, status], "finals": [[stamp, status]], "failed": stamp, "reopened": stamp}
    )
),

-- The rows as they stand once locked, which is newer than the statement's snapshot where a lock was waited for.
old as materialized (
    select
        delta.*,
        flow.phase_transitions, flow.error_history, flow.agent_collaboration_log, flow.phase_execution_times,
        flow.memory_usage_metrics, flow.agent_performance_metrics, flow.flow_metadata, flow.flow_persistence_data,
        flow.flow_status, flow.retry_count, flow.created_at, flow.updated_at
    from delta
    join migration.crewai_flow_state_extensions as flow
        on flow.flow_id = delta.flow_id
        -- Not "=", for which the planner might take the index of an engagement with many flows.
        and (flow.client_account_id, flow.engagement_id)
            is not distinct from (delta.client_account_id, delta.engagement_id)
    order by flow.flow_id
    for no key update of flow
),

written as (
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
        flow_status = status.flow_status,
        retry_count = case
            when counts.totals ? 'retries' then least((counts.totals ->> 'retries')::numeric, 2147483647) else flow.retry_count
        end,
        flow_metadata = case
            when bookkeeping.is_new or maps.flow_metadata is not null or lists.phase_transitions is not null
                then coalesce(maps.flow_metadata, stored.metadata)
                    || jsonb_build_object('_enrichment', bookkeeping.kept)
                    || case when listing.phases is null then '{}' else jsonb_build_object('phase_transitions', listing.phases) end
            else flow.flow_metadata
        end,
        updated_at = clock_timestamp()
    from old
    -- "#> '{}'" reads a compressed column once; "offset 0" keeps what was read.
    cross join lateral (select old.flow_metadata #> '{}' as metadata offset 0) as raw

    -- The bookkeeping: what of it has not the type it must have is set aside, and made anew.
    cross join lateral (
        select case when jsonb_typeof(raw.metadata -> '_enrichment') = 'object' then raw.metadata -> '_enrichment' end as found offset 0
    ) as book
    cross join lateral (
        select
            case jsonb_typeof(raw.metadata) when 'object' then raw.metadata else '{}' end as metadata,
            book.found,
            array_remove(array[
                case when book.found @@ '$.clocks.type() != "object" || $.clocks.*.type() != "object" || $.clocks.*.*.type() != "string"' then 'clocks' end,
                case when book.found @@ '$.counts.type() != "object" || $.counts.*.type() != "object" || $.counts.*.base.type() != "number"
                    || $.counts.*.by.type() != "object" || $.counts.*.by.*.type() != "number"
                    || $.counts.*.from.type() != "object" || $.counts.*.from.*.type() != "number"' then 'counts' end,
                case when book.found @@ '$.status.type() != "object" || $.status.latest.type() != "array" || $.status.final.type() != "array"
                    || $.status.spoken.type() != "array" || $.status.*[*].type() != "string"' then 'status' end,
                case when book.found @@ '$.retries.type() != "array" || $.retries[*].type() != "string"' then 'retries' end,
                case when book.found @@ '$.timings.type() != "array" || $.timings[*].type() != "string"' then 'timings' end,
                case when book.found @@ '$.sorted.type() != "array"' then 'sorted' end,
                case when book.found @@ '$.phase.type() != "string"' then 'phase' end,
                case when book.found @@ '$.since.type() != "string"' then 'since' end,
                case when book.found @@ '$.displaced.type() != "object"' then 'displaced' end
            ], null) as broken
        offset 0
    ) as held
    cross join lateral (
        select
            held.metadata,
            known.kept,
            -- A row that was merged into and has no bookkeeping lost it to a writer of the whole column:
            -- what is older than that writing counts as known.
            coalesce(known.kept ->> 'since', case
                when
                    held.found is null and old.updated_at > old.created_at
                    and (
                        old.retry_count > 0
                        or old.phase_transitions -> -1 ? 'id' or old.error_history -> -1 ? 'id' or old.agent_collaboration_log -> -1 ? 'id'
                        or jsonb_path_exists(old.phase_execution_times, '$.*.attempts')
                    )
                    then changed.stamp
            end) as since,
            changed.stamp as changed
        from (select coalesce(held.found, '{}') - held.broken as kept offset 0) as known
        cross join lateral (
            select lpad((extract(epoch from old.updated_at) * 1000000)::bigint::text, 16, '0') || '~' as stamp
            offset 0
        ) as changed
        offset 0
    ) as stored

    -- Lists: the newest 100 by (timestamp, id). What is all newer than the last entry is appended; anything else is sorted in.
    cross join lateral (
        select
            (array_agg(merged.entries) filter (where list.name = 'phase_transitions'))[1] as phase_transitions,
            (array_agg(merged.entries) filter (where list.name = 'error_history'))[1] as error_history,
            (array_agg(merged.entries) filter (where list.name = 'agent_collaboration_log'))[1] as agent_collaboration_log,
            bool_or(list.name = 'phase_transitions' and shape.is_append) as is_append,
            (array_agg(shape.entries -> -1) filter (where list.name = 'phase_transitions'))[1] as last_transition,
            (array_agg(jsonb_array_length(shape.entries)) filter (where list.name = 'phase_transitions'))[1] as transitions_before,
            jsonb_agg(list.name) filter (where not coalesce(stored.kept -> 'sorted' ? list.name, false)) as newly_sorted,
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
                        stored.kept -> 'sorted' ? list.name
                        and length(before.entries -> -1 ->> 'timestamp') = 32
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
                    select nullif(jsonb_agg(
                        case
                            -- The newest 50 entries may have 4 KB each, the 50 before them 1,100 bytes: 256 KB in all.
                            when ranked.place > 50 and octet_length(ranked.entry::text) > 1100 then (
                                select jsonb_strip_nulls(jsonb_object_agg(
                                    name,
                                    case
                                        when octet_length(part::text) <= 60 then part
                                        when name = 'timestamp' then null
                                        when octet_length(to_jsonb(left(part #>> '{}', chars))::text) <= 3 * chars + 2
                                            then to_jsonb(left(part #>> '{}', chars))
                                        else to_jsonb(left(part #>> '{}', chars / 2))
                                    end
                                )) || jsonb_build_object('truncated', format('…[truncated %s chars]', length(ranked.entry::text)))
                                from (
                                    values
                                    ('id', 40), ('timestamp', 32), ('phase', 40), ('status', 20), ('agent', 40), ('action', 40), ('error', 80)
                                ) as part_of (name, chars)
                                cross join lateral (select ranked.entry -> name as part) as found
                                where jsonb_typeof(ranked.entry) = 'object'
                            )
                            else ranked.entry
                        end
                        order by ranked.place desc
                    ), shape.entries)
                    from (
                        select
                            entry,
                            row_number() over (order by moment collate "C" desc, id collate "C" desc, position desc) as place
                        from (
                            select
                                entry,
                                case
                                    when entry ? 'id' and length(entry ->> 'timestamp') = 32 and right(entry ->> 'timestamp', 6) = '+00:00'
                                        then left(entry ->> 'timestamp', 26)
                                    else coalesce(legacy.moment, '')
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
                            -- Any ISO form (naive is UTC; the day alone, or minutes, will do), or a number of seconds, milli- or microseconds.
                            left join lateral (
                                select to_char(placed.at, 'YYYY-MM-DD"T"HH24:MI:SS.US') as moment
                                from (
                                    select
                                        make_timestamp(read.part[1]::int, read.part[2]::int, 1, 0, 0, 0)
                                        + make_interval(
                                            days => read.part[3]::int - 1,
                                            hours => coalesce(read.part[4]::int, 0) - coalesce((read.part[8] || read.part[9])::int, 0),
                                            mins => coalesce(read.part[5]::int, 0) - coalesce((read.part[8] || read.part[10])::int, 0),
                                            secs => coalesce(read.part[6]::int, 0)
                                        )
                                        + rpad(left(coalesce(read.part[7], '0'), 6), 6, '0')::int * interval '1 microsecond' as at,
                                        read.part[3]::int <= extract(
                                            day from make_date(read.part[1]::int, read.part[2]::int, 1) + interval '1 month - 1 day'
                                        ) as is_valid
                                    from (
                                        select regexp_match(
                                            entry ->> 'timestamp',
                                            '^(?!000[01])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])'
                                            '(?:[T ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,](\d{1,9}))?)?'
                                            ' ?(?:[Zz]|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)?)?$'
                                        ) as part
                                        where jsonb_typeof(entry -> 'timestamp') = 'string'
                                    ) as read
                                    where read.part is not null
                                    union all
                                    select
                                        timestamp 'epoch' + floor(
                                            number * case when abs(number) < 1e11 then 1e6 when abs(number) < 1e14 then 1e3 else 1 end
                                        )::bigint * interval '1 microsecond',
                                        number > -6e10
                                    from (
                                        select case
                                            when jsonb_typeof(entry -> 'timestamp') = 'number' and length(entry ->> 'timestamp') < 40
                                                then (entry ->> 'timestamp')::numeric
                                        end as number
                                    ) as epoch
                                    where abs(number) < 1e17
                                ) as placed
                                where placed.is_valid
                            ) as legacy on not (entry ? 'id' and length(entry ->> 'timestamp') = 32 and right(entry ->> 'timestamp', 6) = '+00:00')
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
        select case when lists.phase_transitions is not null then jsonb_path_query_array(
            case when is_append then known.phases else '[]' end || (
                select jsonb_agg(
                    case
                        when octet_length(phase) <= 60 or octet_length(to_jsonb(phase)::text) <= 122 then phase
                        when octet_length(to_jsonb(left(phase, 60))::text) <= 122 then left(phase, 60)
                        else left(phase, 20)
                    end || ':' || left(coalesce(entry ->> 'status', '?'), 40)
                    order by position
                )
                from jsonb_array_elements(case when is_append then old.transitions else lists.phase_transitions end)
                    with ordinality as added (entry, position)
                cross join lateral (select coalesce(entry ->> 'phase', '?') as phase) as named
            ),
            '$[last - 99 to last]'
        ) end as phases
        from (
            select case jsonb_typeof(stored.metadata -> 'phase_transitions')
                when 'array' then stored.metadata -> 'phase_transitions' else '[]'
            end as phases
        ) as known
        cross join lateral (
            select lists.is_append and jsonb_array_length(known.phases) = lists.transitions_before
                and coalesce(right(known.phases ->> -1, 20) = right((lists.last_transition ->> 'phase') || ':' || (lists.last_transition ->> 'status'), 20), true)
                as is_append
            offset 0
        ) as trusted
    ) as listing

    -- Marks: an event without a number counts unless its mark, or what an earlier version noted, is among the newest 256.
    left join lateral (
        select
            jsonb_object_agg(marked.window, marked.kept) as marks,
            jsonb_object_agg(marked.window, marked.added) as added
        from (
            select
                each.window,
                jsonb_agg(each.mark order by each.mark collate "C") filter (where each.place <= 256) as kept,
                jsonb_object_agg(each.mark, true) filter (where each.is_new) as added
            from (
                select candidate.*, row_number() over (partition by candidate.window order by candidate.mark collate "C" desc) as place
                from (
                    select family as window, mark, false as is_new
                    from (values ('retries'), ('timings')) as families (family)
                    cross join lateral jsonb_array_elements_text(stored.kept -> family) as seen (mark)
                    union all
                    select item.family, item.mark ->> 0, true
                    from (
                        select case name when 'retries' then 'retries' else 'timings' end as family, mark
                        from jsonb_each(old.counted) as counted (name, items)
                        cross join lateral jsonb_array_elements(items -> 'marked') as marked (mark)
                    ) as item
                    where
                        mark ->> 2 > coalesce(stored.since, '') collate "C"
                        and not exists (
                            select from jsonb_array_elements_text(stored.kept -> item.family) as seen (mark)
                            where right(seen.mark, 12) = right(item.mark ->> 0, 12)
                                or right(seen.mark, length(item.mark ->> 1)) = item.mark ->> 1
                        )
                ) as candidate
            ) as each
            group by each.window
        ) as marked
    ) as windows on old.counted @? '$.*.marked'

    -- Counts: of each counter the highest number, of the 32 counters with the highest; the row shows their sum.
    -- "base" is what stood there before, and what had no number; a column that shows more than we know of keeps it.
    cross join lateral (
        select case jsonb_typeof(old.phase_execution_times) when 'object' then old.phase_execution_times else '{}' end as times
        offset 0
    ) as before
    left join lateral (
        select
            jsonb_object_agg(tally.name, greatest(tally.shown, tally.base + tally.numbered) + tally.added) as totals,
            jsonb_object_agg(
                tally.name,
                jsonb_build_object('base', tally.base + tally.added, 'by', tally.by)
                || case when tally.lower is null then '{}' else jsonb_build_object('from', tally.lower) end
                || case when tally.counters < 32 then '{}'::jsonb else '{"at_least": true}' end
            ) filter (where tally.counters > 0) as kept
        from (
            select
                named.name,
                standing.shown,
                coalesce((stored.kept #>> array['counts', named.name, 'base'])::numeric, standing.shown) as base,
                (
                    select count(*) from jsonb_array_elements(named.items -> 'marked') as marked (mark)
                    where windows.added -> case named.name when 'retries' then 'retries' else 'timings' end ? (mark ->> 0)
                ) as added,
                joined.*
            from jsonb_each(old.counted) as named (name, items)
            cross join lateral (
                select case
                    when named.name = 'retries' then old.retry_count
                    when jsonb_typeof(was -> 'attempts') = 'number' then (was ->> 'attempts')::numeric
                    when was is null then 0
                    else 1
                end as shown
                from (select before.times -> substr(named.name, 10) as was) as timed
                offset 0
            ) as standing
            cross join lateral (
                select
                    count(*) as counters,
                    coalesce(sum(upper) - coalesce(sum(lower), 0), 0) as numbered,
                    jsonb_object_agg(counter, upper) as by,
                    jsonb_object_agg(counter, lower) filter (where lower is not null) as lower
                from (
                    select counter, max(upper) as upper, case when stored.since is not null then min(lower) end as lower
                    from (
                        select counter, upper::numeric as upper, (stored.kept #>> array['counts', named.name, 'from', counter])::numeric as lower
                        from jsonb_each_text(stored.kept #> array['counts', named.name, 'by']) as known (counter, upper)
                        union all
                        select item ->> 0, (item ->> 1)::numeric, (item ->> 1)::numeric - 1
                        from jsonb_array_elements(named.items -> 'numbered') as numbered (item)
                        where item ->> 2 > coalesce(stored.since, '') collate "C"
                    ) as told
                    group by counter
                    order by max(upper) desc, counter collate "C"
                    limit 32
                ) as highest
            ) as joined
        ) as tally
    ) as counts on old.counted is not null

    -- Times: per phase the newest time, ties to the longer one, and how many were taken; the newest 256 phases.
    left join lateral (
        select
            case when ranked.kept is distinct from before.times then ranked.kept end as phase_execution_times,
            coalesce(ranked.evicted, '{}') as evicted,
            case when jsonb_typeof(old.phase_execution_times) not in ('object', 'null') then old.phase_execution_times end as displaced
        from (
            select
                jsonb_object_agg(phase, timed) filter (where place <= 256 or not timed ? 'attempts') as kept,
                array_agg('attempts:' || phase) filter (where place > 256 and timed ? 'attempts') as evicted
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
                        || jsonb_build_object('attempts', greatest((counts.totals ->> ('attempts:' || phase))::numeric, 1))
                    )
                    from jsonb_each(old.times) as fresh (phase, newest)
                    cross join lateral (
                        select case jsonb_typeof(before.times -> phase)
                            when 'object' then before.times -> phase
                            else jsonb_strip_nulls(jsonb_build_object('legacy', before.times -> phase))
                        end as was
                    ) as standing
                )) as known (phase, timed)
            ) as placed
        ) as ranked
    ) as times on old.times is not null

    -- Maps: per key the value of the newest stamp; the newest 100 keys, of which a few may have 4 KB and the others 2 KB.
    -- What the application relies on stands outside the ranking.
    cross join lateral (
        select
            (array_agg(merged.document) filter (where map.name = 'memory_usage_metrics'))[1] as memory_usage_metrics,
            (array_agg(merged.document) filter (where map.name = 'agent_performance_metrics'))[1] as agent_performance_metrics,
            (array_agg(merged.document) filter (where map.name = 'flow_metadata'))[1] as flow_metadata,
            jsonb_object_agg(map.name, merged.stamps) filter (where merged.stamps <> '{}') as clocks,
            jsonb_object_agg(map.name, map.was) filter (where jsonb_typeof(map.was) not in ('object', 'null')) as displaced
        from (
            select name, whole_keys, fresh, was #> '{}' as was
            from (
                values
                ('memory_usage_metrics', 16, old.memory, old.memory_usage_metrics),
                ('agent_performance_metrics', 16, old.agents, old.agent_performance_metrics),
                ('flow_metadata', 2, old.metadata, raw.metadata)
            ) as touched (name, whole_keys, fresh, was)
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
                coalesce(array_agg(key) filter (where place > 100), '{}') as evicted,
                jsonb_object_agg(key, shorter.value) filter (where place <= 100 and shorter.value is not null) as shortened
            from (
                select key, joined.document -> key as value, row_number() over (order by stamp collate "C" desc, key collate "C") as place
                from jsonb_each_text(joined.stamps) as known (key, stamp)
                where map.name <> 'flow_metadata' or key not in ('last_progress_update', 'progress_snapshot', 'resume_data', 'pause_reason')
            ) as ranked
            left join lateral (
                select case jsonb_typeof(ranked.value)
                    when 'object' then (
                        select coalesce(jsonb_object_agg(name, part) filter (where bytes <= 1600), '{}') || jsonb_build_object(
                            '…', format('…[truncated %s keys]', count(*) filter (where bytes > 1600))
                        )
                        from (
                            select name, part, sum(octet_length(to_jsonb(name)::text) + octet_length(part::text) + 4) over (order by place) as bytes
                            from jsonb_each(ranked.value) with ordinality as parts (name, part, place)
                        ) as sized
                    )
                    when 'array' then (
                        select coalesce(jsonb_agg(part order by place) filter (where bytes <= 1600), '[]') || jsonb_build_array(
                            format('…[truncated %s items]', count(*) filter (where bytes > 1600))
                        )
                        from (
                            select part, place, sum(octet_length(part::text) + 2) over (order by place) as bytes
                            from jsonb_array_elements(ranked.value) with ordinality as parts (part, place)
                        ) as sized
                    )
                    when 'string' then (
                        select to_jsonb(left(whole, chars) || format('…[truncated %s chars]', length(whole) - chars))
                        from (select ranked.value #>> '{}' as whole) as text
                        cross join (values (1600), (800), (400), (250)) as tried (chars)
                        where octet_length(to_jsonb(left(whole, chars))::text) <= 1602
                        order by chars desc
                        limit 1
                    )
                    else ranked.value
                end as value
            ) as shorter
                on ranked.place > map.whole_keys
                -- The longer a key, which stands in the bookkeeping too, the less room for its value.
                and octet_length(ranked.value::text) > 2060 - 4 * greatest(octet_length(ranked.key) - 24, 0)
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
    ) as maps

    -- The current phase: that of the newest start.
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
    ) as started on start.is_newer

    -- The status: the earliest final one; else failed, unless reopened later; else the newest. A status that is not the one
    -- the merge wrote is the application's word, of the time when the row changed: what is older than it counts no more.
    cross join lateral (
        select
            case
                when known.has_ended then old.flow_status
                when known.final is not null then known.final ->> 1
                when known.failed > coalesce(known.reopened, '') collate "C" or (known.failed = '' and known.reopened is null) then 'failed'
                when known.failed is not null and coalesce(known.latest ->> 0, '') < known.reopened collate "C" then 'processing'
                else coalesce(known.latest ->> 1, old.flow_status)
            end as flow_status,
            jsonb_strip_nulls(jsonb_build_object(
                'latest', known.latest, 'final', case when not known.has_ended then known.final end,
                'failed', known.failed, 'reopened', known.reopened, 'spoken', known.spoken
            )) as kept
        from (
            select
                word.spoken,
                -- A final or failed status without a stamp was there before the first event, and older than it.
                case
                    when word.spoken is not null then word.spoken ->> 1 in ('completed', 'cancelled', 'archived', 'deleted')
                    else old.flow_status in ('completed', 'cancelled', 'archived', 'deleted') and word.was -> 'final' is null
                end as has_ended,
                greatest(
                    case when word.was ->> 'failed' > word.since collate "C" or word.was ->> 'failed' = '' then word.was ->> 'failed' end,
                    case when old.status ->> 'failed' > word.since collate "C" then old.status ->> 'failed' end,
                    case
                        when word.spoken ->> 1 = 'failed' then word.spoken ->> 0
                        when word.spoken is null and old.flow_status = 'failed' and not word.was ? 'failed' then ''
                    end
                ) collate "C" as failed,
                greatest(
                    case when word.was ->> 'reopened' > word.since collate "C" then word.was ->> 'reopened' end,
                    case when old.status ->> 'reopened' > word.since collate "C" then old.status ->> 'reopened' end
                ) collate "C" as reopened,
                (
                    select pair from (values (word.was -> 'latest'), (old.status -> 'latest')) as pairs (pair)
                    where pair ->> 0 > word.since collate "C" order by (pair ->> 0) collate "C" desc limit 1
                ) as latest,
                (
                    select pair from (
                        select word.was -> 'final' as pair union all select * from jsonb_array_elements(old.status -> 'finals')
                    ) as pairs
                    where pair ->> 0 > word.since collate "C" order by (pair ->> 0) collate "C" limit 1
                ) as final
            from (
                select spoken, coalesce(spoken ->> 0, '') as since, case when is_new then '{}' else was end as was
                from (
                    select
                        was,
                        coalesce(was ->> 'wrote' <> old.flow_status, stored.since is not null and was = '{}') as is_new,
                        case
                            when was ->> 'wrote' <> old.flow_status then jsonb_build_array(stored.changed, old.flow_status)
                            when stored.since is not null and was = '{}' then jsonb_build_array(stored.since, old.flow_status)
                            else was -> 'spoken'
                        end as spoken
                    from (select coalesce(stored.kept -> 'status', '{}') as was) as status
                    offset 0
                ) as read
                offset 0
            ) as word
            offset 0
        ) as known
        offset 0
    ) as status

    -- What stood in a column as another type of JSON is set aside whole, and so is what is broken of the bookkeeping.
    cross join lateral (
        select
            case when jsonb_typeof(raw.metadata) not in ('object', 'null') then jsonb_build_object('flow_metadata', raw.metadata) else '{}' end
            || case
                when held.found is null and jsonb_typeof(raw.metadata) = 'object' and raw.metadata ? '_enrichment'
                    then jsonb_build_object('_enrichment', raw.metadata -> '_enrichment')
                when held.broken <> '{}' then jsonb_build_object(
                    '_enrichment', (select jsonb_object_agg(name, held.found -> name) from unnest(held.broken) as part (name))
                )
                else '{}'
            end
            || coalesce(lists.displaced, '{}')
            || coalesce(maps.displaced, '{}')
            || case when times.displaced is null then '{}' else jsonb_build_object('phase_execution_times', times.displaced) end
            || case when started.displaced is null then '{}' else jsonb_build_object('flow_persistence_data', started.displaced) end
            as columns
        offset 0
    ) as displaced

    cross join lateral (
        select known.kept, known.kept is distinct from held.found as is_new
        from (
            select
                stored.kept
                || coalesce(windows.marks, '{}')
                || case when maps.clocks is null then '{}' else jsonb_build_object('clocks', coalesce(stored.kept -> 'clocks', '{}') || maps.clocks) end
                || case when start.is_newer then jsonb_build_object('phase', old.started -> 0) else '{}' end
                || jsonb_build_object('status', status.kept || jsonb_build_object('wrote', status.flow_status))
                || case
                    when counts.kept is null then '{}'
                    else jsonb_build_object('counts', (coalesce(stored.kept -> 'counts', '{}') || counts.kept) - coalesce(times.evicted, '{}'))
                end
                || case
                    when lists.newly_sorted is null then '{}'
                    else jsonb_build_object('sorted', (
                        select jsonb_agg(name order by name)
                        from jsonb_array_elements_text(coalesce(stored.kept -> 'sorted', '[]') || lists.newly_sorted) as sorted (name)
                    ))
                end
                || case when stored.since is null then '{}' else jsonb_build_object('since', stored.since) end
                || case
                    when displaced.columns = '{}' then '{}'
                    else jsonb_build_object('displaced', displaced.columns || coalesce(stored.kept -> 'displaced', '{}'))
                end as kept
            offset 0
        ) as known
        offset 0
    ) as bookkeeping
    where
        flow.flow_id = old.flow_id
        and (
            bookkeeping.is_new
            or start.is_newer
            or coalesce(
                lists.phase_transitions, lists.error_history, lists.agent_collaboration_log, times.phase_execution_times,
                maps.memory_usage_metrics, maps.agent_performance_metrics, maps.flow_metadata
            ) is not null
            or (counts.totals ->> 'retries')::numeric > flow.retry_count
            or status.flow_status <> flow.flow_status
        )
    returning flow.flow_id
)

select old.flow_id, old.client_account_id, old.engagement_id, written.flow_id is not null as is_written
from old
left join written on written.flow_id = old.flow_id
