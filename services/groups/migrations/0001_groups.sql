-- Which tenants may act outside (D34): a projection of identity's TenantVerified.
create table tenant (
  tenant_id uuid primary key,
  verified_at timestamptz not null
);

-- How many seats a group may have, by kind and date (D1, D2, D3). The platform's policy, the same for every tenant:
-- a new figure is a new row with the day it takes effect, and groups that are open keep theirs.
create table capacity_profile (
  kind text not null,
  effective_from timestamptz not null,
  seats_max integer not null,
  reason text not null,
  primary key (kind, effective_from),
  constraint capacity_profile_kind check (kind in ('external', 'internal')),
  constraint capacity_profile_seats check (seats_max > 0)
);

insert into capacity_profile (kind, effective_from, seats_max, reason) values
  ('external', '2019-01-01T00:00:00Z', 500, 'a group of customers holds at most 500 people (D1)'),
  ('internal', '2019-01-01T00:00:00Z', 2000, 'a group of employees holds at most 2,000 people (D3)');

-- Groups that open one after another as each fills. Its row is the lock under which the next one opens.
create table series (
  tenant_id uuid not null,
  series_id uuid not null,
  name text not null,
  theme text not null,
  benefit text not null,
  greeting text not null,
  capacity integer not null,
  groups_opened integer not null,
  current_group_id uuid not null,
  opened_at timestamptz not null,
  primary key (tenant_id, series_id),
  constraint series_capacity check (capacity > 0),
  constraint series_groups_opened check (groups_opened > 0)
);

-- One community. `group` is a reserved word, hence the plural.
create table groups (
  tenant_id uuid not null,
  group_id uuid not null,
  series_id uuid,
  number integer,
  kind text not null,
  name text not null,
  theme text not null,
  benefit text not null,
  greeting text not null,
  capacity integer not null,
  seats_taken integer not null default 0,
  opened_at timestamptz not null,
  primary key (tenant_id, group_id),
  foreign key (tenant_id, series_id) references series,
  constraint groups_kind check (kind in ('external', 'internal')),
  constraint groups_capacity check (capacity > 0),
  constraint groups_seats_within_capacity check (seats_taken between 0 and capacity),
  constraint groups_numbered_in_series check ((series_id is null) = (number is null)),
  constraint groups_number_once unique (tenant_id, series_id, number)
) with (fillfactor = 70); -- room in the page for the counter's next version: no index changes with it
create index groups_of_series on groups (tenant_id, series_id, group_id);

-- The two are made together, the series first.
alter table series add foreign key (tenant_id, current_group_id) references groups deferrable initially deferred;

-- Who sits where now.
create table seat (
  tenant_id uuid not null,
  group_id uuid not null,
  contact_id uuid not null,
  series_id uuid,
  number integer not null,
  taken_at timestamptz not null,
  primary key (tenant_id, group_id, contact_id),
  foreign key (tenant_id, group_id) references groups,
  constraint seat_number check (number > 0),
  constraint seat_once_in_series unique (tenant_id, series_id, contact_id)
);
create index seat_of_contact on seat (tenant_id, contact_id, group_id);

-- Who came and went, and through whom (D18). The service can add to it and read it, nothing else.
create table seat_history (
  seat_history_id uuid primary key,
  tenant_id uuid not null,
  group_id uuid not null,
  contact_id uuid not null,
  change text not null,
  member_id uuid, -- the member who did it; none: the contact itself
  at timestamptz not null,
  constraint seat_history_change check (change in ('joined_group', 'joined_series', 'left'))
);
create index seat_history_of_contact on seat_history (tenant_id, contact_id, at);

do $$
declare
  tab text;
begin
  foreach tab in array array['tenant', 'series', 'groups', 'seat', 'seat_history'] loop
    execute format('alter table %I enable row level security', tab);
    execute format('alter table %I force row level security', tab);
    execute format(
      'create policy tenant on %I
       using (tenant_id = nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid)', tab);
  end loop;
end $$;

grant select on capacity_profile to groups;
grant select, insert on tenant to groups;
grant select, insert, update (groups_opened, current_group_id) on series to groups;
grant select, insert, update (seats_taken) on groups to groups;
grant select, insert, delete on seat to groups;
grant select, insert on seat_history to groups;
