-- Resolvers take turns: whoever waited longest is next, and one that fails rests for longer each time.
alter table broadcast
  add column resolve_turn_at timestamptz,
  add column resolve_failures integer not null default 0;
