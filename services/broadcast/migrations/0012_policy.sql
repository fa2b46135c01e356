-- How many mass messages a contact may get, from a day on: of one member, of the tenant, and of all together (fatigue).
-- A day that has begun keeps its policies: see decisions/0004.
create table cap_policy (
  tenant_id uuid not null,
  scope text not null check (scope in ('member', 'enterprise', 'fatigue')),
  -- The first day it counts, in the tenant's zone.
  since date not null,
  -- Null: as by default.
  length text check (length in ('day', 'iso_week', 'month_days', 'rolling_days')),
  sends_max integer check (sends_max between 1 and 100),
  days integer check (days between 2 and 90),
  set_by uuid not null,
  set_at timestamptz not null,
  primary key (tenant_id, scope, since),
  constraint cap_policy_whole check (
    (length is null) = (sends_max is null) and (length is not distinct from 'rolling_days') = (days is not null))
);

-- A cap's key names its window; the day it was taken on is what windows of another length go by.
alter table cap add column taken_on date;
alter table cap drop constraint cap_kind_check;
alter table cap add constraint cap_kind_check check (kind in ('member', 'enterprise', 'fatigue'));

-- The same where a window allows several, or slides: who took which day, pruned as days go out of every window.
create table cap_tally (
  tenant_id uuid not null,
  scope text not null check (scope in ('member', 'enterprise', 'fatigue')),
  -- As in cap.
  member_id uuid not null,
  contact_id uuid not null,
  -- In pairs.
  days date[] not null,
  broadcast_ids uuid[] not null,
  primary key (tenant_id, scope, member_id, contact_id),
  constraint cap_tally_pairs check (cardinality(days) = cardinality(broadcast_ids))
) with (fillfactor = 70); -- taking one more moves nothing in the index

do $$
declare
  tab text;
begin
  foreach tab in array array['cap_policy', 'cap_tally'] loop
    execute format('alter table %I enable row level security', tab);
    execute format('alter table %I force row level security', tab);
    execute format(
      'create policy tenant on %I using (tenant_id = nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid)', tab);
  end loop;
end
$$;

grant select, insert, update on cap_policy, cap_tally to broadcast;

-- The share that is kept out on purpose, to measure against.
alter table broadcast add column held_out_ppm integer not null default 0 check (held_out_ppm between 0 and 500000);

-- Who is kept out: the same contacts of a mass message whenever it is asked, others of another one.
create function is_held_out(broadcast uuid, contact uuid, ppm integer) returns boolean
language sql immutable parallel safe
return (uuid_hash_extended(contact, uuid_hash_extended(broadcast, 0)) & 9223372036854775807) % 1000000 < ppm;
revoke execute on function is_held_out from public;
grant execute on function is_held_out to broadcast;
