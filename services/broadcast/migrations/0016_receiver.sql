-- How a tenant's receiver on a channel does: after failures it is left alone until then, and tried with one recipient.
create table receiver (
  tenant_id uuid not null,
  channel text not null check (channel in ('inbox', 'webhook', 'email')),
  -- Claims in a row that found it away.
  failures integer not null default 0,
  away_until timestamptz,
  primary key (tenant_id, channel)
);

alter table receiver enable row level security;
alter table receiver force row level security;
create policy tenant on receiver
  using (tenant_id = nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid);

grant select, insert, update on receiver to broadcast;

-- Since when its receiver takes nothing of it: what that lasts for too long ends `dead`.
alter table broadcast add column away_since timestamptz;
