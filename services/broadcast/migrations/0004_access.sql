-- Row-level security on every table, and just the rights the running service needs.
do $$
declare
  tab text;
begin
  foreach tab in array array[
    'tenant', 'webhook', 'broadcast', 'task', 'chunk', 'receipt', 'cap', 'rate_lease', 'inbox_message'] loop
    execute format('alter table %I enable row level security', tab);
    execute format('alter table %I force row level security', tab);
    execute format(
      'create policy tenant on %I using (tenant_id = nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid)', tab);
  end loop;
end
$$;

-- The loops look across tenants for work; all but the dispatcher and the reconciler then act as one tenant.
create policy everyone on broadcast for select using (current_setting('shequn.tenant', true) = '*');
create policy everyone on task for select using (current_setting('shequn.tenant', true) = '*');
create policy everyone on chunk for select using (current_setting('shequn.tenant', true) = '*');
create policy everyone_dispatches on chunk for update using (current_setting('shequn.tenant', true) = '*');

grant select, insert, update on tenant, webhook, broadcast, task, chunk, rate_lease to broadcast;
grant select, insert on receipt to broadcast;
grant select, insert, delete on cap to broadcast;
grant select, insert, update (read_at) on inbox_message to broadcast;
