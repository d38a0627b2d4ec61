-- List flows of one tenant, newest first, from the first :scanned ones that come after the place (:after_at, :after_id).
-- Returns what one summary is made of, its place among those looked at, whether it is meant, and whether it ends the list;
-- the last one looked at always comes along, so that the next page knows where to go on.
-- No index has both the account and the order, and which way is quicker depends on the account: a small one's flows are
-- all read and sorted; a big one's are soon found among the newest flows of all. The planner would guess; this counts.
with after as not materialized (
    select
        id, flow_id, created_at,
        client_account_id = :client_account_id
        and engagement_id = any (cast(:engagement_ids as uuid[]))
        and (cast(:statuses as text[]) is null or flow_status = any (cast(:statuses as text[])))
        and (cast(:flow_type as text) is null or flow_type = cast(:flow_type as text))
        and (cast(:flow_id as uuid) is null or flow_id = cast(:flow_id as uuid))
        and (cast(:only_ids as uuid[]) is null or flow_id = any (cast(:only_ids as uuid[])))
        and (cast(:except_ids as uuid[]) is null or flow_id <> all (cast(:except_ids as uuid[]))) as is_candidate
    from migration.crewai_flow_state_extensions
    where
        (cast(:since as timestamptz) is null or created_at >= cast(:since as timestamptz))
        -- A row without created_at comes first, as in the index.
        and (
            cast(:after_id as uuid) is null
            or (
                cast(cast(:after_at as text) as timestamptz) is not null
                and (created_at, flow_id) < (cast(cast(:after_at as text) as timestamptz), cast(:after_id as uuid))
            )
            or (
                cast(cast(:after_at as text) as timestamptz) is null
                and (created_at is not null or flow_id < cast(:after_id as uuid))
            )
        )
),

account as materialized (
    select count(*) > 5000 as is_big
    from (
        select from migration.crewai_flow_state_extensions
        where client_account_id = :client_account_id
        limit 5001
    ) as counted
),

newest as materialized (
    select id, flow_id, created_at
    from (select * from after order by created_at desc, flow_id desc limit 20000) as window_of_all
    where is_candidate and (select is_big from account)
    limit :scanned
),

sorted as materialized (
    select id, flow_id, created_at
    -- "offset 0": by the account's index, whatever the order.
    from (
        select id, flow_id, created_at from after
        where is_candidate and (select count(*) from newest) < :enough
        offset 0
    ) as all_of_account
    order by created_at desc, flow_id desc
    limit :scanned
),

looked_at as materialized (
    select
        *,
        row_number() over (order by created_at desc, flow_id desc) as place,
        count(*) over () as total,
        (select count(*) from newest) >= :enough as is_partial
    from (
        select * from newest where (select count(*) from newest) >= :enough
        union all
        select * from sorted
    ) as found
),

page as materialized (
    select
        looked_at.id,
        looked_at.place,
        meant.is_meant,
        -- In microseconds since 2000 as Postgres counts them: Python knows no time after 9999.
        case
            when isfinite(looked_at.created_at) then ((extract(epoch from looked_at.created_at) - 946684800) * 1000000)::bigint
            when looked_at.created_at > '2000-01-01' then 9223372036854775807
            when looked_at.created_at is not null then -9223372036854775807
        end as created_us,
        looked_at.place = looked_at.total and looked_at.total < :scanned and not looked_at.is_partial as is_end
    from looked_at
    join migration.crewai_flow_state_extensions as flow on flow.id = looked_at.id
    -- include: summary_source
    cross join lateral (select concat_ws(' ', flow.flow_name, flow.flow_id, flow.user_id, raw.metadata ->> 'external_flow_id') as words) as words
    cross join lateral (
        select
            (cast(:phase as text) is null or known.current_phase = cast(:phase as text))
            and (
                cast(:text as text) is null
                -- Not every locale knows the case of every letter.
                or position(cast(:text as text) in words.words) > 0
                or position(lower(cast(:text as text)) in lower(words.words)) > 0
            )
            and (
                not cast(:is_lost as boolean)
                or flow.flow_id = any (cast(:or_ids as uuid[]))
                or
                -- include: is_lost
            )
            and (
                not cast(:is_overdue as boolean)
                or
                -- include: is_overdue
            ) as is_meant
    ) as meant
    where meant.is_meant or looked_at.place = looked_at.total
    order by looked_at.place
    limit :most
)

-- Only of these are the big columns read.
select
    -- include: summary_columns
    ,
    page.is_meant, page.created_us, page.is_end
from page
join migration.crewai_flow_state_extensions as flow on flow.id = page.id
-- include: summary_source
order by page.place
