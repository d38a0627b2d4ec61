-- Lock masters in the order of the merge; returns flow_id, updated_at.
select flow_id, updated_at::text as updated_at
from migration.crewai_flow_state_extensions
where flow_id = any (cast(:flow_ids as uuid[]))
order by flow_id
for no key update
