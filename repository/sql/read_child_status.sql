-- Read the small facts of the child row of one flow, never its documents; the newest one if a flow has several.
select child.*
from (
    -- include: child_facts
) as child
where
    child.client_account_id = :client_account_id
    and (cast(:engagement_ids as uuid[]) is null or child.engagement_id = any (cast(:engagement_ids as uuid[])))
order by child.updated_at desc nulls last
limit 1
