-- What an audience names beyond tags, as it was asked for (decisions/0003). A mass message without a row here names tags
-- alone, in its own row, as those before did.
create table audience (
  tenant_id uuid not null,
  broadcast_id uuid primary key references broadcast,
  conditions jsonb not null
);

alter table audience enable row level security;
alter table audience force row level security;
create policy tenant on audience
  using (tenant_id = nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid);

grant select, insert on audience to broadcast;
