-- Who changed what: a row for each state change, added with it and never changed. It names people by their ids alone.
create table audit_entry (
  tenant_id uuid not null,               -- the nil one: the platform's own, such as a key
  audit_entry_id uuid not null default uuidv7(),
  at timestamptz not null default now(),
  actor_kind text not null,
  actor_id text not null,
  action text not null,                  -- `<what>.<what happened to it>`: group.opened
  subject_kind text not null generated always as (split_part(action, '.', 1)) stored,
  subject_id text not null,
  note text,
  trace_id text,                         -- finds the logs
  primary key (tenant_id, audit_entry_id),
  constraint audit_entry_actor
    check (actor_kind in ('member', 'reviewer', 'contact', 'service', 'system', 'command_line'))
);

-- By whatever role, also by mistake.
create function refuse_audit_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger audit_entry_stands before update or delete or truncate on audit_entry
  for each statement execute function refuse_audit_change();

alter table audit_entry enable row level security;
alter table audit_entry force row level security;
create policy tenant on audit_entry
  using (tenant_id = nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid);

do $$
begin
  execute format('grant select, insert on audit_entry to %I', current_schema());
end $$;
