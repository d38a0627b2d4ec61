-- A part of merge_deltas.sql: the three lists, each the newest 100 by (timestamp, id). What is all newer than the last
-- entry is appended; anything else is sorted in.
left join lateral (
    select
        (array_agg(merged.entries) filter (where list.name = 'phase_transitions'))[1] as phase_transitions,
        (array_agg(merged.entries) filter (where list.name = 'error_history'))[1] as error_history,
        (array_agg(merged.entries) filter (where list.name = 'agent_collaboration_log'))[1] as agent_collaboration_log,
        bool_or(list.name = 'phase_transitions' and shape.is_append) as is_append,
        (array_agg(jsonb_path_query_array(shape.entries, '$[*].phase')) filter (where list.name = 'phase_transitions'))[1] as phases_before,
        (array_agg(jsonb_path_query_array(shape.entries, '$[*].status')) filter (where list.name = 'phase_transitions'))[1] as statuses_before,
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
                    and length(before.entries -> -1 ->> 'timestamp') = 32 and right(before.entries -> -1 ->> 'timestamp', 6) = '+00:00'
                    and (before.entries -> -1 ->> 'timestamp') || (before.entries -> -1 ->> 'id')
                    < ((list.fresh -> 0 ->> 'timestamp') || (list.fresh -> 0 ->> 'id')) collate "C",
                    false
                )
            )
            -- Others may have rewritten the list since it was sorted; a look at some of its places finds what they do.
            and not exists (
                select
                from (values (0, jsonb_array_length(before.entries) / 2), (jsonb_array_length(before.entries) / 2, -2), (-2, -1)) as places (one, other)
                where one <> other and jsonb_array_length(before.entries) > 1
                    and (before.entries -> one ->> 'timestamp') || (before.entries -> one ->> 'id')
                    > ((before.entries -> other ->> 'timestamp') || (before.entries -> other ->> 'id')) collate "C"
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
                -- include: merge_ranked_list
            )
        end as entries
        offset 0
    ) as merged
    limit (coalesce(old.transitions, old.errors, old.collaborations) is not null)::int
) as lists on true
