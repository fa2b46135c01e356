-- Recipients that ended `dead`, and why; a row per death. Replaying takes the receipt away, and leaves this as the trace.
create table dead_recipient (
  tenant_id uuid not null,
  dead_recipient_id uuid primary key,
  -- No reference: it is written with the chunk locked, while who cancels holds the mass message and waits for the chunk.
  broadcast_id uuid not null,
  contact_id uuid not null,
  n integer not null,
  failure text not null check (failure in (
    'refused', 'gone', 'redirected', 'erred', 'busy', 'timed_out', 'broken', 'unreachable', 'away', 'stuck', 'unwritten')),
  -- Whether a call was started.
  is_handed boolean not null,
  at timestamptz not null default now(),
  replayed_at timestamptz,
  replayed_by uuid,
  constraint dead_recipient_replayed check ((replayed_at is null) = (replayed_by is null))
);
create unique index dead_recipient_once on dead_recipient (broadcast_id, contact_id) where replayed_at is null;
create index dead_recipient_of_tenant on dead_recipient (tenant_id, dead_recipient_id);

alter table dead_recipient enable row level security;
alter table dead_recipient force row level security;
create policy tenant on dead_recipient
  using (tenant_id = nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid);

grant select, insert, update (replayed_at, replayed_by) on dead_recipient to broadcast;

-- A receipt that says `dead` is taken back by a replay.
grant delete on receipt to broadcast;
