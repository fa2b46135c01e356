-- Lists of contacts that were uploaded, as sorted arrays: a million ids are a hundred rows.
create table contact_list (
  tenant_id uuid not null,
  list_id uuid primary key,
  contacts integer not null check (contacts between 1 and 1000000),
  made_at timestamptz not null
);
create index contact_list_age on contact_list (made_at);

create table contact_list_part (
  tenant_id uuid not null,
  list_id uuid not null references contact_list on delete cascade,
  last_id uuid not null,
  contact_ids uuid[] not null check (cardinality(contact_ids) between 1 and 10000),
  primary key (list_id, last_id)
);

do $$
declare
  tab text;
begin
  foreach tab in array array['contact_list', 'contact_list_part'] loop
    execute format('alter table %I enable row level security', tab);
    execute format('alter table %I force row level security', tab);
    execute format(
      'create policy tenant on %I using (tenant_id = nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid)', tab);
  end loop;
end
$$;

grant select, insert, delete on contact_list, contact_list_part to broadcast;
