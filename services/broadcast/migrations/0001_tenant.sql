-- Tenants that may send (a projection of TenantVerified) and where their webhooks are.
create table tenant (
  tenant_id uuid primary key,
  -- IANA zone in which days and weeks are cut.
  zone text not null,
  verified_at timestamptz not null
);

create table webhook (
  tenant_id uuid primary key,
  url text not null,
  set_at timestamptz not null
);
