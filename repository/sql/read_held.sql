-- Read how it stands with these flows of one tenant, or of all where no account is named, by their rows; returns what masterflow.domain.liveness asks for.
select
    flow.flow_id, flow.client_account_id, flow.flow_status,
    -- include: is_lost
    as is_lost,
    raw.metadata -> 'lost' as lost
from migration.crewai_flow_state_extensions as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
where
    flow.flow_id = any (cast(:flow_ids as uuid[]))
    and (
        cast(:client_account_id as uuid) is null
        or (
            flow.client_account_id = cast(:client_account_id as uuid)
            and (cast(:engagement_ids as uuid[]) is null or flow.engagement_id = any (cast(:engagement_ids as uuid[])))
        )
    )
