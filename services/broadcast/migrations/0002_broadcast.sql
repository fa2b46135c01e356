-- A mass message, the shares its sending members confirm, and its chunks: the truth about what is to be sent.
create table broadcast (
  tenant_id uuid not null,
  broadcast_id uuid primary key,
  kind text not null check (kind in ('member', 'enterprise')),
  title text not null,
  text text not null,
  tags_any text[] not null,
  tags_all text[] not null,
  channel text not null check (channel in ('inbox', 'webhook')),
  rate_per_s integer check (rate_per_s > 0),
  started_by uuid not null,
  state text not null check (state in ('resolving', 'running', 'cancelling', 'finished', 'cancelled')),
  note text,
  accepted_at timestamptz not null,
  finished_at timestamptz,
  -- Where the resolver is, and which one it is: a page is written in one transaction with this cursor.
  resolve_cursor text not null default '',
  resolved_to uuid,
  resolve_owner uuid,
  resolve_until timestamptz
);
create index broadcast_of_tenant on broadcast (tenant_id, broadcast_id);
create index broadcast_open on broadcast (state) where state in ('resolving', 'running', 'cancelling');

create table task (
  tenant_id uuid not null,
  task_id uuid primary key,
  broadcast_id uuid not null references broadcast,
  member_id uuid not null,
  state text not null check (state in ('waiting', 'confirmed', 'expired', 'cancelled')),
  recipients integer not null,
  opened_at timestamptz not null,
  expires_at timestamptz not null,
  confirmed_at timestamptz,
  constraint task_once unique (broadcast_id, member_id)
);
create index task_of_member on task (tenant_id, member_id, task_id);
create index task_expiry on task (expires_at) where state = 'waiting';

create table chunk (
  tenant_id uuid not null,
  broadcast_id uuid not null references broadcast,
  n integer not null,
  member_id uuid not null,
  -- Sorted, each once.
  contact_ids uuid[] not null,
  recipients integer not null generated always as (cardinality(contact_ids)) stored
    check (recipients between 1 and 500),
  state text not null default 'waiting'
    check (state in ('waiting', 'ready', 'queued', 'sending', 'done', 'cancelled')),
  -- The terminal state that the recipients left in a withdrawn chunk get.
  ends_as text check (ends_as in ('cancelled', 'unconfirmed')),
  -- Counts dispatches; a hint in the work queue is good for its own only.
  epoch integer not null default 0,
  queued_at timestamptz,
  lease_owner uuid,
  lease_until timestamptz,
  -- Claims in a row that ended without a word or still run; a committed sub-batch starts the count anew.
  -- 0: it is known of every recipient whether they were handed to the channel.
  attempts integer not null default 0,
  delivered integer not null default 0,
  capped integer not null default 0,
  fatigued integer not null default 0,
  quiet_expired integer not null default 0,
  opted_out integer not null default 0,
  not_a_friend integer not null default 0,
  no_channel integer not null default 0,
  held_out integer not null default 0,
  deselected integer not null default 0,
  unconfirmed integer not null default 0,
  cancelled integer not null default 0,
  dead integer not null default 0,
  ended integer not null generated always as (
    delivered + capped + fatigued + quiet_expired + opted_out + not_a_friend
    + no_channel + held_out + deselected + unconfirmed + cancelled + dead) stored,
  primary key (broadcast_id, n),
  constraint chunk_recipient_ends_once check (ended <= recipients),
  constraint chunk_done_is_ended check (state <> 'done' or ended = recipients),
  constraint chunk_lease_while_sending check ((state = 'sending') = (lease_owner is not null))
);
-- 500 ids don't compress; out of line they stay put while the counters move.
alter table chunk alter column contact_ids set storage external;
create index chunk_of_member on chunk (broadcast_id, member_id, n);
create index chunk_ready on chunk (tenant_id, broadcast_id, n) where state = 'ready';
create index chunk_in_flight on chunk (tenant_id) where state in ('queued', 'sending');
create index chunk_open on chunk (broadcast_id, n) where ended < recipients;
create index chunk_withdrawn on chunk (broadcast_id, n) where state = 'cancelled' and ended < recipients;

-- How it ended for one recipient, once.
create table receipt (
  tenant_id uuid not null,
  broadcast_id uuid not null,
  contact_id uuid not null,
  n integer not null,
  state text not null check (state in (
    'delivered', 'capped', 'fatigued', 'quiet_expired', 'opted_out', 'not_a_friend',
    'no_channel', 'held_out', 'deselected', 'unconfirmed', 'cancelled', 'dead')),
  at timestamptz not null default now(),
  primary key (tenant_id, broadcast_id, contact_id)
);

-- Who holds a contact's one mass message of a kind in a window: see decisions/0002.
create table cap (
  tenant_id uuid not null,
  kind text not null check (kind in ('member', 'enterprise')),
  -- The sender of a kind counted per member, else nil.
  member_id uuid not null,
  contact_id uuid not null,
  window_start date not null,
  broadcast_id uuid not null,
  primary key (tenant_id, kind, member_id, contact_id, window_start)
);

-- Until when a broadcast's tokens are given out: workers take a second's worth in one statement.
create table rate_lease (
  tenant_id uuid not null,
  broadcast_id uuid primary key references broadcast,
  next_at timestamptz not null
);
