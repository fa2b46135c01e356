-- Chunks of a slow receiver are sent beside the workers' lanes (decisions/0006).
alter table chunk
  -- The epoch in which it was last dispatched to be sent aside; whoever dispatches without knowing leaves an old one.
  add column aside_epoch integer;

-- Receivers whose calls took long, as workers tell while these last; of the quick there is nothing.
create table slow_receiver (
  tenant_id uuid not null,
  channel text not null check (channel in ('inbox', 'webhook', 'email')),
  slow_until timestamptz not null,
  -- For how long it was taken to be slow the last time.
  slow_secs double precision not null check (slow_secs > 0),
  primary key (tenant_id, channel)
);

alter table slow_receiver enable row level security;
alter table slow_receiver force row level security;
create policy tenant on slow_receiver
  using (tenant_id = nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid);

-- The dispatcher looks across tenants.
create policy everyone on slow_receiver for select using (current_setting('shequn.tenant', true) = '*');
create policy everyone on account_rate for select using (current_setting('shequn.tenant', true) = '*');

grant select, insert, update on slow_receiver to broadcast;
