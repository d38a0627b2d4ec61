-- A part of merge_control.sql: an entry without what may be long; shortening it again changes nothing.
select case
    when short.entry = placed.entry then placed.entry
    else short.entry || jsonb_build_object(
        'truncated', coalesce(placed.entry -> 'truncated', to_jsonb(format('…[truncated %s chars]', length(placed.entry::text))))
    )
end
from (
    select
        placed.entry - array['answer', 'value', 'reason', 'options', 'answer_schema', 'default', 'phase', 'expires_at']
        || case
            when length(placed.entry ->> 'question') > 60 then jsonb_build_object('question', left(placed.entry ->> 'question', 60))
            else '{}'
        end as entry
) as short
