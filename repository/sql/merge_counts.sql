-- A part of merge_deltas.sql: of each counter the highest number, of the 32 counters with the highest; the row shows their
-- sum. "base" is what stood there before, and what had no number; a column that shows more than we know of keeps it.
left join lateral (
    select case jsonb_typeof(old.phase_execution_times) when 'object' then old.phase_execution_times else '{}' end as times
    limit (coalesce(old.counted, old.times) is not null)::int
) as before on true
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
    limit (old.counted is not null)::int
) as counts on true
