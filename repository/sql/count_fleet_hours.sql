-- Count how many flows of one client account, or of all where :client_account_id is null, began in which hour since :since_s; returns hour_s (its start in seconds since 1970), flows, created_us (the sum of when they began, which tells one flow from another).
select
    floor(extract(epoch from created_at) / 3600)::bigint * 3600 as hour_s,
    count(*) as flows,
    sum((extract(epoch from created_at) * 1000000)::bigint) as created_us
from migration.crewai_flow_state_extensions
where
    (cast(:client_account_id as uuid) is null or client_account_id = cast(:client_account_id as uuid))
    and created_at >= to_timestamp(:since_s)
    and created_at < '10000-01-01 UTC' -- what Python knows, and a bigint holds
group by 1
order by 1 desc
