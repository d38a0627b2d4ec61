-- Tell who we are to this server and whether we may write there: role and database (quoted where they have to be), is_standby, is_read_only,
-- read_only_source (where the default was set, in the words of pg_settings).
select
    quote_ident(current_user) as role,
    quote_ident(current_database()) as database,
    pg_is_in_recovery() as is_standby,
    current_setting('transaction_read_only')::boolean as is_read_only,
    (select source from pg_settings where name = 'default_transaction_read_only') as read_only_source
