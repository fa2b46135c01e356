-- Who followed a link of a mass message, where links are short ones of ours: the first time of each contact and link.
-- Link 0 is any of them, so its rows are whoever followed one at all. Only of contacts who have not withdrawn their consent:
-- who does takes theirs along.
create table click (
  tenant_id uuid not null,
  broadcast_id uuid not null,
  contact_id uuid not null,
  link smallint not null check (link between 0 and 255),
  at timestamptz not null,
  primary key (tenant_id, broadcast_id, contact_id, link)
);
create index click_contact on click (tenant_id, contact_id);

-- The figures of each link, and under 0 of all: those stay when the rows above are forgotten with the receipts.
create table click_count (
  tenant_id uuid not null,
  broadcast_id uuid not null,
  link smallint not null check (link between 0 and 255),
  -- Of people, every time.
  clicks bigint not null,
  -- Contacts, once.
  clickers bigint not null,
  -- By programs that say so; and too near to the receipt, which most often is one that does not.
  bots bigint not null,
  early bigint not null,
  primary key (tenant_id, broadcast_id, link)
);

do $$
declare
  tab text;
begin
  foreach tab in array array['click', 'click_count'] loop
    execute format('alter table %I enable row level security', tab);
    execute format('alter table %I force row level security', tab);
    execute format(
      'create policy tenant on %I using (tenant_id = (
         select nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid))', tab);
  end loop;
end
$$;
-- To change none: rows to forget are locked in their order.
grant select, insert, update, delete on click to broadcast;
grant select, insert, update on click_count to broadcast;

-- How many have read a mass message in their inbox. What nobody has read costs nothing here.
create index inbox_message_read on inbox_message (tenant_id, broadcast_id)
  where read_at is not null and broadcast_id is not null;
