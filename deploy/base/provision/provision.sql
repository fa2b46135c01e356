-- The order of provisioning, for psql as superuser; the two files are those of deploy/dev.
\set ON_ERROR_STOP on
set pg_stat_statements.track = 'none'; -- statistics must not keep passwords
\getenv identity IDENTITY
\getenv identity_owner IDENTITY_OWNER
\getenv customers CUSTOMERS
\getenv customers_owner CUSTOMERS_OWNER
\getenv groups GROUPS
\getenv groups_owner GROUPS_OWNER
\getenv broadcast BROADCAST
\getenv broadcast_owner BROADCAST_OWNER
\getenv referral REFERRAL
\getenv referral_owner REFERRAL_OWNER
select json_build_object(
    'identity', :'identity', 'identity_owner', :'identity_owner',
    'customers', :'customers', 'customers_owner', :'customers_owner',
    'groups', :'groups', 'groups_owner', :'groups_owner',
    'broadcast', :'broadcast', 'broadcast_owner', :'broadcast_owner',
    'referral', :'referral', 'referral_owner', :'referral_owner') as passwords
\gset
set shequn.passwords = :'passwords';
\ir provision-roles.sql
select 'create database shequn' where not exists (select from pg_database where datname = 'shequn')
\gexec
\connect shequn
\ir provision-database.sql
\echo provisioned
