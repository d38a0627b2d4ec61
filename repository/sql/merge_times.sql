-- A part of merge_deltas.sql: per phase the newest time, ties to the longer one, and how many were taken; the newest 256
-- phases.
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
    limit (old.times is not null)::int
) as times on true
