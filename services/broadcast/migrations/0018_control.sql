-- Pausing, priorities and schedules. Whoever pauses a mass message stops its resolver, its dispatch and its workers alike.
alter table broadcast drop constraint broadcast_state_check;
alter table broadcast
  -- What a paused one goes back to.
  add column paused_from text check (paused_from in ('resolving', 'running')),
  add column priority text not null default 'normal' check (priority in ('urgent', 'normal', 'bulk')),
  -- Nothing is sent before the one, nor after the other.
  add column send_at timestamptz,
  add column send_until timestamptz,
  add constraint broadcast_state_check
    check (state in ('resolving', 'running', 'paused', 'cancelling', 'finished', 'cancelled')),
  add constraint broadcast_paused check (state <> 'paused' or paused_from is not null);

create index broadcast_ending on broadcast (send_until) where state in ('running', 'paused') and send_until is not null;

-- A chunk of its own time, such as nine o'clock in its recipients' zone: it is not dispatched before.
alter table chunk add column not_before timestamptz;
alter table chunk drop constraint chunk_ends_as_check;
alter table chunk
  add constraint chunk_ends_as_check check (ends_as in ('cancelled', 'unconfirmed', 'quiet_expired'));
create index chunk_due on chunk (tenant_id, broadcast_id, (coalesce(not_before, '-infinity')), n) where state = 'ready';
