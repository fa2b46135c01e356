-- What a recipient costs in the database.

-- Each message of a mass message looked its broadcast up and locked that one row, as every other message of it did. There
-- is no message without one: it is stored under the lease of its broadcast's chunk, and broadcasts are never deleted.
alter table inbox_message drop constraint inbox_message_broadcast_id_fkey;

-- The same policies, but the setting is read and parsed once a statement and not once a row: there is a row for each
-- recipient, in each of these tables.
do $$
declare
  tab text;
begin
  foreach tab in array array['receipt', 'cap', 'consent', 'inbox_message'] loop
    execute format(
      'alter policy tenant on %I using (tenant_id = (
         select nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid))', tab);
  end loop;
end
$$;
