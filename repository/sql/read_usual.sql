-- Read the newest :most flows of a type and an engagement that completed, without one; returns flow_id, created_us, when each entered its status, and its times.
-- As list_flows.sql does: a small account's flows are all read, a big one's are found among the newest flows of all.
with account as materialized (
    select count(*) > 5000 as is_big
    from (
        select from migration.crewai_flow_state_extensions
        where client_account_id = :client_account_id
        limit 5001
    ) as counted
),

newest as materialized (
    select id, created_at
    from (
        select id, created_at, client_account_id, engagement_id, flow_type, flow_status
        from migration.crewai_flow_state_extensions
        where created_at is not null
        order by created_at desc
        limit 20000
    ) as window_of_all
    where
        (select is_big from account)
        and client_account_id = :client_account_id
        and engagement_id = :engagement_id
        and flow_type = :flow_type
        and flow_status = 'completed'
    limit :most
),

all_of_account as materialized (
    select id, created_at
    -- "offset 0": by the account's index. By the time of creation, flows of an account that is idle would be looked for among all.
    from (
        select id, created_at
        from migration.crewai_flow_state_extensions
        where
            not (select is_big from account)
            and client_account_id = :client_account_id
            and engagement_id = :engagement_id
            and flow_type = :flow_type
            and flow_status = 'completed'
            and created_at is not null
        offset 0
    ) as found
    order by created_at desc
    limit :most
)

select
    flow.flow_id,
    -- include: created_us
    as created_us,
    flow.flow_metadata #> '{_enrichment,status}' as status_stamps,
    flow.phase_execution_times as times
from (select id from newest union all select id from all_of_account) as found
join migration.crewai_flow_state_extensions as flow on flow.id = found.id
order by flow.created_at desc, flow.flow_id desc
