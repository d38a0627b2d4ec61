-- A part of merge_deltas.sql: an event without a number counts unless its mark, or what an earlier version noted, is
-- among the newest 256.
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
    limit coalesce(old.counted @? '$.*.marked', false)::int
) as windows on true
