-- Find the flows of these accounts that changed after :since, as far as anybody may be interested; returns flow_id, updated_at.
-- There is no index on updated_at, so this looks where changes happen: at open flows, at those just created, and at the
-- flows in :flow_ids (open a moment ago, or watched by somebody).
select flow_id, updated_at
from migration.crewai_flow_state_extensions
where
    client_account_id = any (cast(:client_account_ids as uuid[]))
    and updated_at > :since
    and (
        flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')
        or flow_id = any (cast(:flow_ids as uuid[]))
        or created_at > :since
    )
