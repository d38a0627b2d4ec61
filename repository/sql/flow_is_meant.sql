-- A part of what reads "flow", raw and known: whether the flow is one that is asked for, as far as its row says it without being counted.
(
    cast(:phase as text) is null
    or lower(replace(known.current_phase, '_', ' ')) = lower(replace(cast(:phase as text), '_', ' '))
)
and (
    cast(:text as text) is null
    or exists (
        select
        from (select concat_ws(' ', flow.flow_name, flow.flow_id, flow.user_id, raw.metadata ->> 'external_flow_id') as words) as words
        -- Not every locale knows the case of every letter.
        where
            position(cast(:text as text) in words.words) > 0
            or position(lower(cast(:text as text)) in lower(words.words)) > 0
    )
)
and (
    not cast(:is_lost as boolean)
    or flow.flow_id = any (cast(:or_ids as uuid[]))
    or
    -- include: is_lost
)
and (
    not cast(:is_overdue as boolean)
    or
    -- include: is_overdue
)
and (
    not cast(:is_waiting as boolean)
    or
    -- include: waiting_since
    is not null
)
and not exists (
    select
    from unnest(cast(:metadata_keys as text[]), cast(:metadata_values as text[])) as asked (key, value)
    where coalesce(raw.metadata ->> asked.key, raw.metadata #>> string_to_array(asked.key, '.')) is distinct from asked.value
)
and (not cast(:has_errors as boolean) or flow.error_history <> '[]')
and (not cast(:has_times as boolean) or flow.phase_execution_times <> '{}')
