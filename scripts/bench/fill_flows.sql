-- Fill the master table with the flows :first to :last of :flows; one in a thousand of all has full lists.
-- Accounts by number: 1 has 30 %, 2 has 1 %, 3 has 0.01 %, and 500 others share what is left.
insert into migration.crewai_flow_state_extensions (
    id, flow_id, client_account_id, engagement_id, user_id, flow_type, flow_name, flow_status, created_at, updated_at,
    flow_persistence_data, flow_metadata, phase_transitions, error_history, agent_collaboration_log, phase_execution_times
)
select
    gen_random_uuid(), lpad(to_hex(number), 32, '0')::uuid,
    lpad(to_hex(case when number % 10 < 3 then 1 when number % 100 = 55 then 2 when number % 10000 = 77 then 3 else 4 + number % 500 end), 32, '0')::uuid,
    :engagement, 'user ' || number % 50, 'discovery', 'Flow number ' || number,
    case when number % 200 = 0 then 'processing' when number % 50 = 0 then 'failed' else 'completed' end,
    now() - make_interval(secs => :flows - number), now() - make_interval(secs => :flows - number),
    '{"current_phase": "asset_inventory"}',
    jsonb_build_object(
        'phase_transitions', '["data_import:processing", "data_import:completed", "asset_inventory:processing"]'::jsonb,
        'last_progress_update', '{"progress_percentage": 60, "message": "Looking at 240 servers"}'::jsonb
    ),
    case when number % (:flows / 1000) = 0 then full_lists.transitions else '[]' end,
    case when number % (:flows / 1000) = 0 then full_lists.errors else '[]' end,
    case when number % (:flows / 1000) = 0 then full_lists.errors else '[]' end,
    '{"data_import": {"execution_time_ms": 1200.5, "completed_at": "2026-11-02T09:31:07.131002+00:00", "attempts": 1}}'
from generate_series(cast(:first as int), cast(:last as int)) as number
cross join (
    select
        jsonb_agg(jsonb_build_object(
            'id', gen_random_uuid(), 'phase', 'phase ' || entry % 10, 'timestamp', now(),
            'status', case when entry % 2 = 0 then 'processing' else 'completed' end, 'metadata', '{"rows": 1}'::jsonb
        )) as transitions,
        jsonb_agg(jsonb_build_object(
            'id', gen_random_uuid(), 'phase', 'p', 'timestamp', now(), 'error', (select string_agg(md5((entry * 100 + part)::text), '') from generate_series(1, 30) as part)
        )) as errors
    from generate_series(1, 100) as entry
) as full_lists
