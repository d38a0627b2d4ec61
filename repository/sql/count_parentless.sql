-- Count those of these flows that name no parent.
select count(*)
from migration.crewai_flow_state_extensions
where
    flow_id = any (cast(:flow_ids as uuid[]))
    and parent_flow_id is null
