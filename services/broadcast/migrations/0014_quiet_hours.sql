-- When a tenant's mass messages wait, in its zone.
create table quiet_hours (
  tenant_id uuid primary key,
  -- The night may lie between: from 22:00 to 08:00.
  starts time not null,
  ends time not null,
  set_by uuid not null,
  set_at timestamptz not null,
  constraint quiet_hours_are_not_the_day check (starts <> ends)
);

alter table quiet_hours enable row level security;
alter table quiet_hours force row level security;
create policy tenant on quiet_hours
  using (tenant_id = nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid);

grant select, insert, update, delete on quiet_hours to broadcast;
