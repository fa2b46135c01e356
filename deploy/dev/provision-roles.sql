-- The cluster's part of provisioning: two login roles per service, without any special power,
-- and no way into the cluster's own databases.
-- Plain SQL for any client connected as superuser; run it again at will. Expects the passwords as
-- JSON {"groups_owner": "…", "groups": "…", …} in the setting `shequn.passwords`.

set pg_stat_statements.track = 'none'; -- statistics must not keep passwords

do $$
declare
  login text;
  secret text;
begin
  for login, secret in select * from json_each_text(current_setting('shequn.passwords')::json) loop
    if not exists (select from pg_roles where rolname = login) then
      execute format('create role %I', login);
    end if;
    execute format('alter role %I with login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password %L',
                   login, secret);
  end loop;
end $$;

revoke all on database postgres, template1 from public;
reset pg_stat_statements.track;
