-- A database's part of provisioning: one schema per service, owned by `<service>_owner`, used by `<service>`.
-- Plain SQL for any client connected to the database as superuser, after provision-roles.sql; run it again
-- at will. Grants and search paths belong to a database: a clone of a template needs it again.

do $$
declare
  service text;
  login text;
begin
  set local client_min_messages = warning; -- `if not exists` is no news
  execute format('revoke all on database %I from public', current_database());
  revoke all on schema public from public;
  foreach service in array array['identity', 'customers', 'groups', 'broadcast', 'referral'] loop
    execute format('create schema if not exists %I authorization %I', service, service || '_owner');
    execute format('grant usage on schema %I to %I', service, service);
    foreach login in array array[service, service || '_owner'] loop
      execute format('grant connect on database %I to %I', current_database(), login);
      execute format('alter role %I in database %I set search_path = %I', login, current_database(), service);
    end loop;
  end loop;
end $$;
