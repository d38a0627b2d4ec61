-- A part of what reads "flow" and raw.metadata: whether the flow or a phase of it is overdue now, as masterflow.domain.control.deadlines does.
coalesce(
    flow.flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')
    and jsonb_typeof(raw.metadata -> 'overdue') = 'array'
    and exists (
        select
        from jsonb_array_elements(case jsonb_typeof(raw.metadata -> 'overdue') when 'array' then raw.metadata -> 'overdue' else '[]' end) as passed (entry)
        where
            jsonb_typeof(passed.entry -> 'timestamp') = 'string'
            and passed.entry ->> 'timestamp' like '__________________________+00:00'
            and case coalesce(jsonb_typeof(passed.entry -> 'phase'), 'null')
                when 'null' then not coalesce(
                    jsonb_typeof(raw.metadata -> 'deadline_at') = 'string'
                    and raw.metadata ->> 'deadline_at' like '__________________________+00:00'
                    and raw.metadata ->> 'deadline_at' > passed.entry ->> 'timestamp' collate "C",
                    false
                )
                when 'string' then not jsonb_path_exists(
                    case jsonb_typeof(flow.phase_transitions) when 'array' then flow.phase_transitions else '[]' end,
                    'strict $[*] ? (
                        @.phase == $phase && @.status.type() == "string"
                        && @.status != "processing" && @.status != "active" && @.status != "paused"
                        && @.status != "waiting_for_approval" && @.status != "unfinished"
                        && @.timestamp like_regex "^.{26}[+]00[:]00$" && @.timestamp > $since
                    )',
                    jsonb_build_object(
                        'phase', passed.entry -> 'phase',
                        'since', case
                            when jsonb_typeof(passed.entry -> 'started_at') = 'string'
                                and passed.entry ->> 'started_at' like '__________________________+00:00'
                                then passed.entry -> 'started_at'
                            else passed.entry -> 'timestamp'
                        end
                    ),
                    true
                )
                else false
            end
    ),
    false
)
