-- Read those of these flows that ended before :before, whole. Returns flow_id, tenant, row as text, the day of its last change,
-- updated_us (null for no time), is_thinned and digest.
select
    flow.flow_id, flow.client_account_id, flow.engagement_id,
    case when isfinite(flow.updated_at) then to_char(flow.updated_at, 'YYYY-MM-DD') else 'undated' end as day,
    -- include: updated_us
    as updated_us,
    coalesce(jsonb_typeof(flow.flow_metadata) = 'object' and flow.flow_metadata ? '_thinned', false) as is_thinned,
    whole.written as row,
    encode(sha256(convert_to(whole.written, getdatabaseencoding())), 'hex') as digest
from migration.crewai_flow_state_extensions as flow
cross join lateral (select to_jsonb(flow)::text as written offset 0) as whole
where
    flow.flow_id = any (cast(:flow_ids as uuid[]))
    and
    -- include: ended_before
order by flow.created_at, flow.flow_id
