-- A part of what reads "flow" and raw.metadata: since when the flow waits for somebody, in microseconds since 1970; null if it does not.
-- Only for flows that are open.
case
    when flow.flow_status in ('paused', 'waiting_for_approval') then coalesce(
        case
            when raw.metadata #>> '{_enrichment,status,latest,1}' = flow.flow_status
                and raw.metadata #>> '{_enrichment,status,latest,0}' ~ '^\d{16}'
                then left(raw.metadata #>> '{_enrichment,status,latest,0}', 16)::bigint
        end,
        -- include: updated_us
        ,
        0
    )
    else (
        select min((extract(epoch from (asked ->> 'timestamp')::timestamptz) * 1000000)::bigint)
        from jsonb_path_query(raw.metadata, '$.control[*] ? (@.kind == "asked")') as asked
        where
            asked ->> 'timestamp' ~ '^[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d{6}[+]00:00$'
            and not exists (
                select from jsonb_path_query(raw.metadata, '$.control[*] ? (@.kind == "settled" || @.kind == "answer")') as ended
                where ended -> 'question_id' = asked -> 'id'
            )
    )
end
