-- A part of what reads "flow" and raw.metadata: the whole number that the list is sorted by, the greatest first; -1 where there is none.
-- Times and durations are microseconds, costs billionths of a dollar. A flow lasts until it ended, or until :now_us.
coalesce(
    case cast(:sort as text)
        when 'changed' then
            -- include: updated_us
        when 'duration' then
            coalesce(
                case when flow.flow_status in ('completed', 'failed', 'cancelled') then coalesce(
                    (
                        select max(left(stamp, 16)::bigint)
                        from (
                            values
                            (raw.metadata #>> '{_enrichment,status,latest,0}', raw.metadata #>> '{_enrichment,status,latest,1}'),
                            (raw.metadata #>> '{_enrichment,status,final,0}', raw.metadata #>> '{_enrichment,status,final,1}'),
                            (raw.metadata #>> '{_enrichment,status,failed}', 'failed')
                        ) as stamps (stamp, status)
                        where status = flow.flow_status and stamp ~ '^[0-9]{16}'
                    ),
                    -- include: updated_us
                ) end,
                cast(:now_us as bigint)
            ) -
            -- include: created_us
        when 'errors' then case when jsonb_typeof(flow.error_history) = 'array' then jsonb_array_length(flow.error_history) else 0 end
        when 'cost' then case when jsonb_typeof(raw.metadata #> '{usage,cost_usd}') = 'number' then
            (least(greatest((raw.metadata #>> '{usage,cost_usd}')::numeric, 0), 9000000000) * 1000000000)::bigint
        end
    end,
    -1
)
