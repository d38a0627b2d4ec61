-- Look through one page of masters, newest first, for those behind their child; no document is read.
-- Behind is a master whose note (flow_metadata._enrichment.backfill) is not of its child's version, which differs whenever
-- the child was written. Masters without a creation time come along with the first page.
-- Returns scanned, last_created_at, last_flow_id (where the next page begins), and flow ids: behind, several (they have more
-- than one child of their tenant), foreign (a child of another tenant names them).
with page as materialized (
    (
        select flow_id, flow_type, client_account_id, engagement_id, created_at, flow_metadata
        from migration.crewai_flow_state_extensions
        where
            created_at >= cast(:since as timestamptz)
            and (created_at, flow_id) < (cast(:before as timestamptz), cast(:before_id as uuid))
            and (cast(:client_account_id as uuid) is null or client_account_id = :client_account_id)
            and (cast(:engagement_id as uuid) is null or engagement_id = :engagement_id)
        order by created_at desc, flow_id desc
        limit :page_size
    )
    union all
    (
        select flow_id, flow_type, client_account_id, engagement_id, created_at, flow_metadata
        from migration.crewai_flow_state_extensions
        where
            created_at is null
            and cast(:before as timestamptz) = 'infinity'
            and (cast(:client_account_id as uuid) is null or client_account_id = :client_account_id)
            and (cast(:engagement_id as uuid) is null or engagement_id = :engagement_id)
        limit 10000
    )
),

-- Each child by an index, however many there are: the cost of a page must not depend on the tables.
child as (
    select page.flow_id, found.*
    from page
    cross join lateral (
        -- include: children_of_page
    ) as found
),

linked as (
    select
        page.flow_id,
        page.created_at,
        count(*) filter (where own.is_own) as children,
        bool_or(not own.is_own) as is_foreign,
        max(child.version) filter (where own.is_own) as version,
        -- Read last and for rows with a child only.
        (array_agg(page.flow_metadata #>> '{_enrichment,backfill,version}'))[1] as noted
    from page
    join child on child.flow_id = page.flow_id
    cross join lateral (
        select child.client_account_id = page.client_account_id and child.engagement_id = page.engagement_id as is_own
    ) as own
    group by page.flow_id, page.created_at
)

select
    (select count(*) from page) as scanned,
    (select created_at::text from page where created_at is not null order by created_at, flow_id limit 1) as last_created_at,
    (select flow_id from page where created_at is not null order by created_at, flow_id limit 1) as last_flow_id,
    coalesce(
        array_agg(flow_id order by created_at desc, flow_id desc)
            filter (where children = 1 and cast(:rules as text) || version is distinct from noted),
        '{}'
    ) as behind,
    coalesce(array_agg(flow_id) filter (where children > 1), '{}') as several,
    coalesce(array_agg(flow_id) filter (where is_foreign), '{}') as foreign
from linked
