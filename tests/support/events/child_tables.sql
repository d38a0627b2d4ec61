-- The child tables of other flow types, as the application has them; columns that nobody here reads are left out.
create table migration.collection_flows (
    id uuid primary key,
    flow_id uuid not null unique,
    master_flow_id uuid,
    client_account_id uuid not null,
    engagement_id uuid not null,
    flow_name varchar(255) not null,
    status varchar(50) not null default 'initialized',
    current_phase varchar(100),
    progress_percentage double precision not null default 0,
    phase_results jsonb,
    error_message text,
    error_details jsonb,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz
);
create index on migration.collection_flows (master_flow_id);
create table migration.assessment_flows (
    id uuid primary key,
    master_flow_id uuid,
    client_account_id uuid not null,
    engagement_id uuid not null,
    status varchar(50) not null default 'initialized',
    progress integer not null default 0 check (progress between 0 and 100),
    current_phase varchar(100),
    phase_results jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz
);
create table migration.decommission_flows (
    flow_id uuid primary key,
    master_flow_id uuid not null,
    client_account_id uuid not null,
    engagement_id uuid not null,
    status varchar(50) not null default 'initialized',
    current_phase varchar(50) not null default 'decommission_planning',
    decommission_planning_status varchar(50) default 'pending',
    data_migration_status varchar(50) default 'pending',
    system_shutdown_status varchar(50) default 'pending',
    system_shutdown_completed_at timestamptz,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
)
