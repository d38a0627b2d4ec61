-- A part of what reads "flow": updated_at in microseconds since 1970; null where Python knows no such time, as in the year 294,247, whose microseconds no bigint holds.
case
    when flow.updated_at >= '0001-01-01 UTC' and flow.updated_at < '10000-01-01 UTC' then (extract(epoch from flow.updated_at) * 1000000)::bigint
end
