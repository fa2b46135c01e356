-- Brands, verified by the platform before they act outside.
create table tenant (
  tenant_id uuid primary key,
  slug text not null constraint tenant_slug_taken unique,
  name text not null,
  zone text not null,
  state text not null constraint tenant_state check (state in ('pending', 'verified', 'rejected')),
  sealed_licence bytea,
  registered_at timestamptz not null
);

-- A brand's staff. Who left stays, for the history; the address is free again.
create table member (
  member_id uuid primary key,
  tenant_id uuid not null references tenant,
  email text not null,
  name text not null,
  alias text not null,
  role text not null constraint member_role check (role in ('owner', 'admin', 'operator', 'agent', 'auditor')),
  state text not null constraint member_state check (state in ('active', 'left')),
  password_hash text not null,
  joined_at timestamptz not null,
  left_at timestamptz,
  constraint member_left_once check ((state = 'left') = (left_at is not null)),
  constraint member_of_tenant unique (tenant_id, member_id)
);
create unique index member_email_taken on member (tenant_id, email) where state = 'active';

-- What follows from one login; it ends as a whole.
create table session (
  session_id uuid primary key,
  tenant_id uuid not null,
  member_id uuid not null,
  started_at timestamptz not null,
  expires_at timestamptz not null,
  revoked_at timestamptz,
  foreign key (tenant_id, member_id) references member (tenant_id, member_id)
);
create index session_member on session (member_id, started_at);

-- Single-use tokens of a session, as SHA-256. Used ones stay, so that a second use is noticed.
create table refresh_token (
  digest bytea primary key constraint refresh_token_digest check (length(digest) = 32),
  tenant_id uuid not null,
  session_id uuid not null references session on delete cascade,
  issued_at timestamptz not null,
  used_at timestamptz
);
create index refresh_token_session on refresh_token (session_id);

-- One row per state change: who did what to whom, and why. Nobody is granted to change one.
create table audit (
  audit_id uuid primary key,
  tenant_id uuid not null references tenant,
  action text not null,
  subject_id uuid not null,
  actor_kind text not null constraint audit_actor check (actor_kind in ('member', 'reviewer')),
  actor_id uuid not null,
  note text,
  at timestamptz not null
);
create index audit_tenant on audit (tenant_id, audit_id);

-- The platform's own: who may verify brands. Only the schema's owner adds one.
create table reviewer (
  reviewer_id uuid primary key,
  email text not null constraint reviewer_email_taken unique,
  password_hash text not null,
  added_at timestamptz not null
);

-- Keys that sign logins, sealed under SHEQUN_KEY_SECRET.
create table signing_key (
  kid text primary key,
  sealed_seed bytea not null,
  signs_from timestamptz not null
);

do $$
declare
  tab text;
begin
  foreach tab in array array['tenant', 'member', 'session', 'refresh_token', 'audit'] loop
    execute format('alter table %I enable row level security', tab);
    execute format('alter table %I force row level security', tab);
    execute format(
      'create policy tenant on %I
         using (tenant_id = nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid)
         with check (tenant_id = nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid)', tab);
  end loop;
end
$$;

-- A login finds its tenant by slug, a reviewer lists them all; nothing else looks across tenants.
create policy everyone on tenant for select using (current_setting('shequn.tenant', true) = '*');

grant select, insert, update on tenant, member to identity;
grant select, insert, update, delete on session to identity;
grant select, insert, update on refresh_token to identity;
grant select, insert on audit to identity;
grant select on reviewer to identity;
grant select, insert, delete on signing_key to identity;
