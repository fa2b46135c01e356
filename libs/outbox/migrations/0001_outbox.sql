-- What was recorded and must reach the bus. Written in the operation's transaction, read by the relay.
create table outbox (
  seq bigint generated always as identity primary key,
  event_id uuid not null,
  tenant_id uuid not null,
  name text not null,
  key text not null,
  occurred_at timestamptz not null,
  payload bytea not null,
  traceparent text,
  published_at timestamptz,
  stream_seq bigint
);
create index outbox_pending on outbox (seq) where published_at is null;

-- What the relay knows of its stream: another epoch, or a sequence that went back, means events were lost.
create table relay_state (
  stream text primary key,
  epoch bigint not null,
  last_seq bigint not null
);

-- Which events a listener has in effect, and how often it tried.
create table inbox (
  consumer text not null,
  event_id uuid not null,
  tenant_id uuid not null,
  attempts int not null,
  handled_at timestamptz,
  last_error text,
  seen_at timestamptz not null default now(),
  primary key (consumer, event_id)
);

-- Events a listener gave up on; an operator replays them.
create table dead_letter (
  dead_letter_id uuid primary key,
  consumer text not null,
  event_id uuid not null,
  tenant_id uuid not null,
  name text not null,
  key text not null,
  occurred_at timestamptz not null,
  payload bytea not null,
  traceparent text,
  reason text not null,
  attempts int not null,
  died_at timestamptz not null default now(),
  replay_at timestamptz,
  constraint dead_letter_once unique (consumer, event_id)
);

-- Answers to requests under an Idempotency-Key.
create table request (
  tenant_id uuid not null,
  key text not null,
  fingerprint bytea not null,
  answer jsonb,
  at timestamptz not null default now(),
  primary key (tenant_id, key)
);

-- The service's runtime role has the schema's name. `everyone` is for the relay, the pruner and dead letters.
do $$
declare
  tab text;
begin
  foreach tab in array array['outbox', 'inbox', 'dead_letter', 'request'] loop
    execute format('alter table %I enable row level security', tab);
    execute format('alter table %I force row level security', tab);
    execute format(
      'create policy tenant on %I using (tenant_id = nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid)', tab);
    execute format('create policy everyone on %I using (current_setting(''shequn.tenant'', true) = ''*'')', tab);
    execute format('grant select, insert, update, delete on %I to %I', tab, current_schema());
  end loop;
  execute format('grant select, insert, update on relay_state to %I', current_schema());
end
$$;
