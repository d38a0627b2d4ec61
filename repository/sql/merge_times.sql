-- A part of merge_deltas.sql: per phase the newest time, ties to the longer one, and how many were taken; the newest 256
-- phases.
left join lateral (
    select
        case when ranked.kept is distinct from before.times then ranked.kept end as phase_execution_times,
        coalesce(ranked.evicted, '{}') as evicted,
        case when jsonb_typeof(old.phase_execution_times) not in ('object', 'null') then old.phase_execution_times end as displaced
    from (
        select
            -- What others have put there without a count of attempts stands outside the ranking.
            jsonb_object_agg(phase, timed) filter (where place <= 256 or not is_ours) as kept,
            array_agg('attempts:' || phase) filter (where place > 256 and is_ours) as evicted
        from (
            select
                phase,
                timed,
                timed ? 'attempts' as is_ours,
                row_number() over (
                    partition by timed ? 'attempts' order by coalesce(timed ->> 'completed_at', '') collate "C" desc, phase collate "C"
                ) as place
            from jsonb_each(before.times || (
                select jsonb_object_agg(
                    phase,
                    was
                    || case
                        when (left(newest ->> 'completed_at', 26), newest -> 'execution_time_ms')
                            > (at.moment collate "C", coalesce(was -> 'execution_time_ms', 'null')) then newest
                        else '{}'
                    end
                    || jsonb_build_object('attempts', greatest((counts.totals ->> ('attempts:' || phase))::numeric, 1))
                )
                from jsonb_each(old.times) as fresh (phase, newest)
                cross join lateral (
                    select case
                        when jsonb_typeof(before.times -> phase) = 'object' then before.times -> phase
                        when jsonb_typeof(before.times -> phase) <> 'null' then jsonb_build_object('legacy', before.times -> phase)
                        else '{}'
                    end as was
                    offset 0
                ) as standing
                cross join lateral (
                    select jsonb_build_object('timestamp', coalesce(nullif(was -> 'completed_at', 'null'), was -> 'recorded_at')) as entry
                    offset 0
                ) as timed
                cross join lateral (
                    select case
                        when length(entry ->> 'timestamp') = 32 and right(entry ->> 'timestamp', 6) = '+00:00'
                            then left(entry ->> 'timestamp', 26)
                        else coalesce((
                            -- include: merge_legacy_moment
                        ), '')
                    end as moment
                    offset 0
                ) as at
                -- Where all of a phase's timings count as known, the row says nothing of it.
                where before.times ? phase or (counts.totals ->> ('attempts:' || phase))::numeric > 0
            )) as known (phase, timed)
        ) as placed
    ) as ranked
    limit (old.times is not null)::int
) as times on true
