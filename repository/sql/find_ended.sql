-- Find flows that ended before :before, beyond a place (created_at, flow_id) and at most :most, the oldest first.
-- Returns flow_id, tenant, created_at and row as text, the day of its last change, updated_us (null for no time), is_thinned and digest.
with found as materialized (
    select flow.id, flow.created_at as place, flow.flow_id as tie
    from migration.crewai_flow_state_extensions as flow
    where
        -- include: ended_before
        and flow.created_at >= cast(:created_at as timestamptz)
        and (flow.created_at, flow.flow_id) > (cast(:created_at as timestamptz), cast(:flow_id as uuid))
        and
        -- include: condition
    order by flow.created_at, flow.flow_id
    limit :most
)

select
    flow.flow_id, flow.client_account_id, flow.engagement_id,
    flow.created_at::text as created_at,
    case when isfinite(flow.updated_at) then to_char(flow.updated_at, 'YYYY-MM-DD') else 'undated' end as day,
    case when isfinite(flow.updated_at) then (extract(epoch from flow.updated_at) * 1000000)::bigint end as updated_us,
    coalesce(jsonb_typeof(flow.flow_metadata) = 'object' and flow.flow_metadata ? '_thinned', false) as is_thinned,
    whole.written as row,
    encode(sha256(convert_to(whole.written, getdatabaseencoding())), 'hex') as digest
from found
join migration.crewai_flow_state_extensions as flow on flow.id = found.id
cross join lateral (select to_jsonb(flow)::text as written offset 0) as whole
order by found.place, found.tie
