-- What contacts said of marketing since, a projection of ContactConsentChanged: an audience is resolved long before the
-- last of it is sent to.
create table consent (
  tenant_id uuid not null,
  contact_id uuid not null,
  marketing boolean not null,
  at timestamptz not null,
  primary key (tenant_id, contact_id)
);

alter table consent enable row level security;
alter table consent force row level security;
create policy tenant on consent
  using (tenant_id = nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid);

grant select, insert, update on consent to broadcast;
