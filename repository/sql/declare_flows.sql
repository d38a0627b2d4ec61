-- Make the missing rows of declared flows: [{"flow_id", "client_account_id", "engagement_id", "user_id", "flow_type", "flow_name", "flow_configuration", "stamp"}], one per flow; returns nothing.
-- A row that a declaration made takes the words of an earlier one; every other row stays as it is.
insert into migration.crewai_flow_state_extensions as flow (
    id, flow_id, client_account_id, engagement_id, user_id, flow_type, flow_name,
    flow_status, flow_configuration, flow_persistence_data, flow_metadata
)
select
    gen_random_uuid(), flow_id, client_account_id, engagement_id, user_id, flow_type, flow_name,
    'initialized', flow_configuration, '{}', jsonb_build_object('_enrichment', jsonb_build_object('declared', stamp))
from jsonb_to_recordset(cast(:declared as jsonb)) as declared (
    flow_id uuid, client_account_id uuid, engagement_id uuid, user_id text, flow_type text, flow_name text,
    flow_configuration jsonb, stamp text
)
-- In the order in which merges lock rows.
order by flow_id
on conflict (flow_id) do update set
    user_id = excluded.user_id,
    flow_type = excluded.flow_type,
    flow_name = excluded.flow_name,
    flow_configuration = excluded.flow_configuration,
    flow_metadata = jsonb_set(flow.flow_metadata, '{_enrichment,declared}', excluded.flow_metadata #> '{_enrichment,declared}')
where
    (flow.client_account_id, flow.engagement_id) = (excluded.client_account_id, excluded.engagement_id)
    and flow.flow_metadata #>> '{_enrichment,declared}' > excluded.flow_metadata #>> '{_enrichment,declared}' collate "C"
