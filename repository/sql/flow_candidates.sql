-- A part of what lists flows of one tenant: CTEs that end with "looked_at", the first :scanned candidates beyond a place, and "progress", how far that is.
-- No index has both the account and the order, and which way is quicker depends on the account: what is small is all read
-- by the account's index and sorted; of what is big, the next :window flows of all accounts are looked through in order.
-- The planner would guess; this counts. A candidate is what columns alone can tell.
in_range as not materialized (
    select
        id, flow_id, created_at,
        client_account_id = :client_account_id
        and (cast(:engagement_ids as uuid[]) is null or engagement_id = any (cast(:engagement_ids as uuid[])))
        and (cast(:statuses as text[]) is null or flow_status = any (cast(:statuses as text[])))
        and (cast(:flow_type as text) is null or flow_type = cast(:flow_type as text))
        and (cast(:user_id as text) is null or user_id = cast(:user_id as text))
        and (cast(:flow_id as uuid) is null or flow_id = cast(:flow_id as uuid))
        and (cast(:only_ids as uuid[]) is null or flow_id = any (cast(:only_ids as uuid[])))
        and (cast(:except_ids as uuid[]) is null or flow_id <> all (cast(:except_ids as uuid[]))) as is_candidate
    from migration.crewai_flow_state_extensions
    where
        (cast(:since as timestamptz) is null or created_at >= cast(:since as timestamptz))
        and (cast(:until as timestamptz) is null or created_at < cast(:until as timestamptz))
        and (
            -- include: beyond
        )
),

account as materialized (
    select
        count(*) > 5000
        and cast(:flow_id as uuid) is null
        and cast(:only_ids as uuid[]) is null as is_big
    from (
        select from migration.crewai_flow_state_extensions
        where
            client_account_id = :client_account_id
            and (cast(:statuses as text[]) is null or flow_status = any (cast(:statuses as text[])))
        limit 5001
    ) as counted
),

walk as materialized (
    select id, flow_id, created_at, is_candidate
    from in_range
    where (select is_big from account)
    order by
        -- include: creation_order
    limit :window
),

-- Of those created at the same time as the last one only some were seen: they are left to the next walk.
walk_end as materialized (
    select created_at as at
    from walk
    where (select count(*) from walk) >= :window
    order by
        -- include: reversed_order
    limit 1
),

looked_at as materialized (
    select
        *,
        row_number() over (order by
            -- include: creation_order
        ) as place,
        count(*) over () as total
    from (
        (
            select id, flow_id, created_at
            from walk
            where
                is_candidate
                and (not exists (select from walk_end) or created_at is distinct from (select at from walk_end))
            order by
                -- include: creation_order
            limit :scanned
        )
        union all
        (
            select id, flow_id, created_at
            -- "offset 0": by the account's index, whatever the order.
            from (
                select id, flow_id, created_at from in_range
                where is_candidate and not (select is_big from account)
                offset 0
            ) as all_of_account
            order by
                -- include: creation_order
            limit :scanned
        )
    ) as found
),

-- Where the next part begins: after the last one that was looked at, or else where the walk ended, which is a time and no flow.
progress as materialized (
    select
        looked.total as searched,
        looked.total < :scanned and not exists (select from walk_end) as is_end,
        case when looked.total >= :scanned then looked.flow_id end as end_id,
        case when looked.total >= :scanned then looked.created_at else (select at from walk_end) end as end_at
    from (select) as one
    left join (select * from looked_at order by place desc limit 1) as last_one on true
    cross join lateral (select coalesce(last_one.total, 0) as total, last_one.flow_id, last_one.created_at) as looked
)
