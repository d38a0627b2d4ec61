-- Find the flows of one tenant that changed after :since, or one of them; returns flow_id, updated_at, newest first.
-- It looks at every row of the client account, so it is only for a listener who was away and comes back.
select flow_id, updated_at
from migration.crewai_flow_state_extensions
where
    client_account_id = :client_account_id
    and (cast(:engagement_ids as uuid[]) is null or engagement_id = any (cast(:engagement_ids as uuid[])))
    and updated_at > :since
    and (cast(:flow_id as uuid) is null or flow_id = cast(:flow_id as uuid))
order by updated_at desc
limit :most
