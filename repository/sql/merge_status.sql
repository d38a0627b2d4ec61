-- A part of merge_deltas.sql: the earliest final status; else failed, unless reopened later; else the newest. A status that
-- is not the one the merge wrote is the application's word, of the time when the row changed: what is older counts no more.
cross join lateral (
    select
        case
            when known.has_ended then old.flow_status
            when known.final is not null then known.final ->> 1
            when known.failed > coalesce(known.reopened, '') collate "C" or (known.failed = '' and known.reopened is null) then 'failed'
            when known.failed is not null and coalesce(known.latest ->> 0, '') < known.reopened collate "C" then 'processing'
            else coalesce(known.latest ->> 1, old.flow_status)
        end as flow_status,
        jsonb_strip_nulls(jsonb_build_object(
            'latest', known.latest, 'final', case when not known.has_ended then known.final end,
            'failed', known.failed, 'reopened', known.reopened, 'spoken', known.spoken
        )) as kept
    from (
        select
            word.spoken,
            -- A final or failed status without a stamp was there before the first event, and older than it.
            case
                when word.spoken is not null then word.spoken ->> 1 in ('completed', 'cancelled', 'archived', 'deleted')
                else old.flow_status in ('completed', 'cancelled', 'archived', 'deleted') and word.was -> 'final' is null
            end as has_ended,
            greatest(
                case when word.was ->> 'failed' > word.since collate "C" or word.was ->> 'failed' = '' then word.was ->> 'failed' end,
                case when old.status ->> 'failed' > word.since collate "C" then old.status ->> 'failed' end,
                case
                    when word.spoken ->> 1 = 'failed' then word.spoken ->> 0
                    when word.spoken is null and old.flow_status = 'failed' and not word.was ? 'failed' then ''
                end
            ) collate "C" as failed,
            greatest(
                case when word.was ->> 'reopened' > word.since collate "C" then word.was ->> 'reopened' end,
                case when old.status ->> 'reopened' > word.since collate "C" then old.status ->> 'reopened' end
            ) collate "C" as reopened,
            (
                select pair from (values (word.was -> 'latest'), (old.status -> 'latest')) as pairs (pair)
                where pair ->> 0 > word.since collate "C" order by (pair ->> 0) collate "C" desc limit 1
            ) as latest,
            (
                select pair from (
                    select word.was -> 'final' as pair union all select * from jsonb_array_elements(old.status -> 'finals')
                ) as pairs
                where pair ->> 0 > word.since collate "C" order by (pair ->> 0) collate "C" limit 1
            ) as final
        from (
            select spoken, coalesce(spoken ->> 0, '') as since, case when is_new then '{}' else was end as was
            from (
                select
                    was,
                    coalesce(was ->> 'wrote' <> old.flow_status, stored.since is not null and was = '{}') as is_new,
                    case
                        when was ->> 'wrote' <> old.flow_status then jsonb_build_array(stored.changed, old.flow_status)
                        when stored.since is not null and was = '{}' then jsonb_build_array(stored.since, old.flow_status)
                        else was -> 'spoken'
                    end as spoken
                from (select coalesce(stored.kept -> 'status', '{}') as was) as status
                offset 0
            ) as read
            offset 0
        ) as word
        offset 0
    ) as known
    offset 0
) as status
