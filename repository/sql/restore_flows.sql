-- Put back archived rows (:lines, [{"digest", "row"}]): insert those whose flow is not there, and let a row that was thinned,
-- and has not changed since, be what it was. A parent that is not there is left out.
-- Returns for each line flow_id, is_whole (the row is what its digest says), is_inserted, is_replaced.
with archived as materialized (
    select
        line -> 'row' as document,
        line ->> 'digest' as digest,
        encode(sha256(convert_to((line -> 'row')::text, getdatabaseencoding())), 'hex') = line ->> 'digest' as is_whole
    from jsonb_array_elements(cast(:lines as jsonb)) as line
),

found as materialized (
    select (flow).*, archived.digest as digest_of_archive
    from archived
    cross join lateral (
        select jsonb_populate_record(
            null::migration.crewai_flow_state_extensions,
            archived.document - case
                when exists (
                    select from migration.crewai_flow_state_extensions as parent
                    where parent.flow_id = (archived.document ->> 'parent_flow_id')::uuid
                ) then ''
                else 'parent_flow_id'
            end
        ) as flow
        offset 0
    ) as populated
    where archived.is_whole
),

inserted as (
    insert into migration.crewai_flow_state_extensions (
        -- include: columns
    )
    select
        -- include: columns
    from found
    on conflict do nothing
    returning flow_id
),

replaced as (
    update migration.crewai_flow_state_extensions as flow
    set
        -- include: assignments
    from found
    where
        flow.flow_id = found.flow_id
        and flow.flow_metadata #>> '{_thinned,digest}' = found.digest_of_archive
        and flow.updated_at is not distinct from found.updated_at
    returning flow.flow_id
)

select
    (archived.document ->> 'flow_id')::uuid as flow_id,
    archived.is_whole,
    inserted.flow_id is not null as is_inserted,
    replaced.flow_id is not null as is_replaced
from archived
left join inserted on inserted.flow_id = (archived.document ->> 'flow_id')::uuid
left join replaced on replaced.flow_id = (archived.document ->> 'flow_id')::uuid
