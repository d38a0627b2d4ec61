-- Find child rows without a master, at most 1,000 of those written since :since; returns flow_id, master_flow_id.
select child.flow_id, coalesce(child.master_flow_id, child.flow_id) as master_flow_id
from (
    -- include: every_child
) as child
where
    child.updated_at >= cast(:since as timestamptz)
    and (cast(:client_account_id as uuid) is null or child.client_account_id = :client_account_id)
    and (cast(:engagement_id as uuid) is null or child.engagement_id = :engagement_id)
    and not exists (
        select from migration.crewai_flow_state_extensions as master
        where master.flow_id = coalesce(child.master_flow_id, child.flow_id)
    )
order by child.updated_at desc
limit 1000
