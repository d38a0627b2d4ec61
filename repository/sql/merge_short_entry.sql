-- A part of merge_ranked_list.sql: an entry of more than 1,100 bytes as one of fewer; shortening it again changes nothing.
-- What is no object becomes the beginning of its text.
select case jsonb_typeof(ranked.entry) when 'object' then (
select coalesce(jsonb_object_agg(
    name,
    case
        when octet_length(part::text) <= 60 then part
        when octet_length(to_jsonb(left(part #>> '{}', chars))::text) <= 3 * chars + 2
            then to_jsonb(left(part #>> '{}', chars))
        else to_jsonb(left(part #>> '{}', chars / 2))
    end
) filter (where part <> 'null' and (name <> 'timestamp' or octet_length(part::text) <= 60)), '{}') || jsonb_build_object('truncated', format('…[truncated %s chars]', length(ranked.entry::text)))
from (
    values
    ('id', 40), ('timestamp', 32), ('phase', 40), ('status', 20), ('agent', 40), ('action', 40), ('error', 80)
) as part_of (name, chars)
cross join lateral (select ranked.entry -> name as part) as found
) else to_jsonb(
    left(ranked.entry #>> '{}', case when octet_length(to_jsonb(left(ranked.entry #>> '{}', 250))::text) <= 1002 then 250 else 150 end)
    || format('…[truncated %s chars]', length(ranked.entry::text))
) end
