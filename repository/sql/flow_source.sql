-- Where "flow" is read: raw.metadata and known.current_phase, a part of the statements that include it.
-- "#> '{}'" reads a compressed column once; "offset 0" keeps what was read, and what nobody selects is not read.
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
cross join lateral (
    select
        left(coalesce(
            flow.flow_persistence_data ->> 'current_phase',
            jsonb_path_query_array(flow.phase_transitions, '$[*] ? (@.status == "processing" || @.status == "active").phase') ->> -1,
            -- Where there are no transitions at all, the index is all that is left of them.
            case when flow.phase_transitions is null or flow.phase_transitions = '[]' then regexp_replace(
                jsonb_path_query_array(raw.metadata, '$.phase_transitions[*] ? (@ like_regex "[:]processing$")') ->> -1,
                '[:]processing$', ''
            ) end,
            raw.metadata #>> '{last_progress_update,current_phase}'
        ), 200) as current_phase
    offset 0
) as known
