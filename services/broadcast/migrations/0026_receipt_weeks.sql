-- Receipts by week, so that old ones are forgotten by dropping a table and not row by row (decisions/0012). The id of a
-- mass message begins with the milliseconds at which it was made (UUIDv7), so a range of ids is a range of time: key,
-- columns and conflicts stay as they are, and a version before goes on.

-- Both are locked at once and in the order in which everybody locks them: the other way round, a sender that holds the one
-- and this, which holds the other, would wait for each other.
lock table broadcast, receipt in access exclusive mode;

-- The first id that can be made at this time.
create function first_id(at timestamptz) returns uuid
language sql immutable parallel safe
return rpad(lpad(to_hex((extract(epoch from at) * 1000)::int8), 12, '0'), 32, '0')::uuid;
revoke execute on function first_id from public;
grant execute on function first_id to broadcast;

-- What there is becomes the part before next week as it is: nothing is copied.
alter table receipt rename to receipt_before;
alter index receipt_pkey rename to receipt_before_pkey;
revoke all on receipt_before from broadcast;

create table receipt (
  like receipt_before including defaults including constraints,
  primary key (tenant_id, broadcast_id, contact_id)
) partition by range (broadcast_id);
alter table receipt enable row level security;
alter table receipt force row level security;
create policy tenant on receipt using (tenant_id = (
  select nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid));
grant select, insert, delete on receipt to broadcast;

-- A safety net: ids of weeks that have no table, none of which there should be.
create table receipt_other partition of receipt default;
alter table receipt_other enable row level security;
create policy tenant on receipt_other using (tenant_id = (
  select nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid));

do $$
declare
  next_week uuid := first_id((date_trunc('week', now() at time zone 'utc') + interval '1 week') at time zone 'utc');
begin
  alter table receipt_before no force row level security;
  with stray as (delete from receipt_before where broadcast_id >= next_week returning *)
  insert into receipt_other select * from stray;
  execute format('alter table receipt attach partition receipt_before for values from (minvalue) to (%L)', next_week);
end
$$;
alter table receipt_before force row level security;
alter table receipt_other force row level security;

-- The parts, but for the safety net, each from an id on (null: from the first) and up to another.
create function receipt_part() returns table (part regclass, from_id uuid, to_id uuid)
language sql stable set search_path = broadcast, pg_temp
as $$
  select oid::regclass, substring(bounds from 'FROM \(''([0-9a-f-]{36})''\)')::uuid, upper_id::uuid
  from pg_inherits
  join pg_class on oid = inhrelid
  cross join pg_get_expr(relpartbound, oid) as bounds
  cross join substring(bounds from 'TO \(''([0-9a-f-]{36})''\)') as upper_id
  where inhparent = 'receipt'::regclass and upper_id is not null
$$;
revoke execute on function receipt_part from public;

-- Makes the part of the week that begins on this Monday (UTC). What lies in the safety net of that week moves there.
create function add_receipt_week(monday date) returns void
language plpgsql set search_path = broadcast, pg_temp
as $$
declare
  part text := to_char(monday, '"receipt_"YYYYMMDD');
  from_id uuid := first_id(monday::timestamp at time zone 'utc');
  to_id uuid := first_id((monday + 7)::timestamp at time zone 'utc');
begin
  execute format('create table %I (like receipt including defaults including constraints including indexes)', part);
  execute format('alter table %I enable row level security', part);
  execute format(
    'create policy tenant on %I using (tenant_id = (
       select nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid))', part);
  -- Attaching locks it as well, to look for rows of the week.
  alter table receipt_other no force row level security;
  execute format(
    'with late as (delete from receipt_other where broadcast_id >= %L and broadcast_id < %L returning *)
     insert into %I select * from late', from_id, to_id, part);
  alter table receipt_other force row level security;
  execute format('alter table %I force row level security', part);
  execute format('alter table receipt attach partition %I for values from (%L) to (%L)', part, from_id, to_id);
end
$$;
revoke execute on function add_receipt_week from public;

-- Makes the parts of this week and some to come that are not there, and tells how many. The service owns no table, so it
-- asks its owner. Whoever waits for a lock waits for a moment only: there is time.
create function add_receipt_weeks(ahead integer) returns integer
language plpgsql security definer set search_path = broadcast, pg_temp set lock_timeout = '200ms'
as $$
declare
  this_week date := date_trunc('week', now() at time zone 'utc')::date;
  monday date;
  added integer := 0;
begin
  if not pg_try_advisory_xact_lock(hashtext('broadcast.receipt')) then
    return 0; -- another one is at it
  end if;
  for week in 0 .. least(greatest(ahead, 0), 8) loop
    monday := this_week + 7 * week;
    if not exists (
      select from receipt_part()
      where coalesce(from_id <= first_id(monday::timestamp at time zone 'utc'), true)
        and to_id > first_id(monday::timestamp at time zone 'utc')) then
      perform add_receipt_week(monday);
      added := added + 1;
    end if;
  end loop;
  return added;
end
$$;
revoke execute on function add_receipt_weeks from public;
grant execute on function add_receipt_weeks to broadcast;

-- When each end came about, as the report tells it after the receipts are gone.
alter table broadcast add column endings jsonb;
create index broadcast_not_summed_up on broadcast (broadcast_id) where endings is null;

-- Drops the first part of which every mass message has been over for so many weeks, and tells its name.
create function drop_receipt_week(weeks integer) returns text
language plpgsql security definer set search_path = broadcast, pg_temp set lock_timeout = '200ms'
as $$
declare
  over_by timestamptz := now() - make_interval(weeks => weeks);
  week record;
begin
  if weeks is null or weeks < 4 then
    raise exception 'receipts are kept for at least 4 weeks' using errcode = 'invalid_parameter_value';
  end if;
  if current_setting('shequn.tenant', true) is distinct from '*' then
    raise exception 'whose receipts are over shows only across tenants' using errcode = 'insufficient_privilege';
  end if;
  if not pg_try_advisory_xact_lock(hashtext('broadcast.receipt')) then
    return null; -- another one is at it
  end if;
  for week in select *, part::text as name from receipt_part() where to_id <= first_id(over_by) order by to_id loop
    continue when is_receipt_needed(week.from_id, week.to_id, over_by);
    -- In the order in which everybody locks them. Who replays the dead of one holds the lock until the replay shows.
    lock table only receipt in access exclusive mode;
    continue when is_receipt_needed(week.from_id, week.to_id, over_by);
    execute format('drop table %I', week.name);
    return week.name;
  end loop;
  return null;
end
$$;
revoke execute on function drop_receipt_week from public;
grant execute on function drop_receipt_week to broadcast;

-- Whether a mass message of these ids goes on, ended lately, or has not been summed up.
create function is_receipt_needed(from_id uuid, to_id uuid, over_by timestamptz) returns boolean
language sql volatile set search_path = broadcast, pg_temp
as $$
  select exists (
    select from broadcast
    where (from_id is null or broadcast_id >= from_id) and broadcast_id < to_id
      and (state not in ('finished', 'cancelled') or finished_at > over_by or endings is null))
$$;
revoke execute on function is_receipt_needed from public;

-- Tallies of caps that no window reaches any more are forgotten, as caps are.
grant delete on cap_tally to broadcast;

select add_receipt_weeks(4);
