-- What an account may send in a second, of all mass messages and workers together. A tenant's channel is one, and so is
-- each of its members on that channel.
create table account_rate (
  tenant_id uuid not null,
  channel text not null,
  rate_per_s integer check (rate_per_s > 0),
  member_rate_per_s integer check (member_rate_per_s > 0),
  set_at timestamptz not null,
  primary key (tenant_id, channel)
);

-- Until when an account's tokens are given out: workers take a second's worth in one statement.
create table account (
  tenant_id uuid not null,
  channel text not null,
  -- Nil: the tenant's own.
  member_id uuid not null,
  paced_to timestamptz not null,
  primary key (tenant_id, channel, member_id)
);

do $$
declare
  tab text;
begin
  foreach tab in array array['account_rate', 'account'] loop
    execute format('alter table %I enable row level security', tab);
    execute format('alter table %I force row level security', tab);
    execute format(
      'create policy tenant on %I using (tenant_id = nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid)', tab);
  end loop;
end
$$;

-- The dispatcher passes over who has no tokens yet.
create policy everyone on account for select using (current_setting('shequn.tenant', true) = '*');

grant select, insert, update on account_rate, account to broadcast;
