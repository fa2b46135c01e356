-- What a tenant pays for: each publication is a new row and stays as it is.
create table plan (
  tenant_id uuid not null,
  plan_id uuid not null,
  revision integer not null,
  draft jsonb not null,
  published_by uuid not null,
  published_at timestamptz not null,
  primary key (tenant_id, plan_id),
  constraint plan_revision_once unique (tenant_id, revision),
  constraint plan_revision check (revision > 0)
);

-- How contacts are called by the tenant: a projection of customers' ContactBefriended.
create table person (
  tenant_id uuid not null,
  contact_id uuid not null,
  external_id text not null,
  primary key (tenant_id, contact_id)
);

-- Keys that events occupy for ever: their id, and what they are about.
create table event_key (
  tenant_id uuid not null,
  key text not null,
  fingerprint bytea not null,
  primary key (tenant_id, key)
);

-- One order of the shop; `order` is a reserved word. Its row is the lock under which its events are taken in.
create table shop_order (
  tenant_id uuid not null,
  order_no text not null,
  plan_id uuid,                          -- in force when its order.paid was taken in
  settled_until timestamptz not null,    -- the ledger holds what has matured by then
  matures_at timestamptz,
  primary key (tenant_id, order_no),
  foreign key (tenant_id, plan_id) references plan
);
create index shop_order_maturing on shop_order (matures_at) where settled_until < matures_at;

-- What happened to orders, as it came in.
create table order_event (
  tenant_id uuid not null,
  event_id text collate "C" not null,
  order_no text not null,
  content jsonb not null,
  received_at timestamptz not null,
  primary key (tenant_id, event_id),
  foreign key (tenant_id, order_no) references shop_order
);
create index order_event_of_order on order_event (tenant_id, order_no);

-- Events without (all of) their effect, and why; cleared when a later event gives it to them.
create table parked (
  tenant_id uuid not null,
  event_id text collate "C" not null,
  code text not null,
  order_no text not null,
  content jsonb not null,
  parked_at timestamptz not null,
  cleared_at timestamptz,
  primary key (tenant_id, event_id, code)
);
create index parked_now on parked (tenant_id, parked_at, event_id, code) where cleared_at is null;

-- What each person earned on each line by each rule, and what of it was taken back.
create table accrual (
  tenant_id uuid not null,
  order_no text not null,
  line bigint not null,
  rule text not null,
  person text not null,
  currency text not null,
  minor bigint not null,
  reversed bigint not null,
  why jsonb not null,
  paid_at timestamptz not null,
  primary key (tenant_id, order_no, line, rule, person),
  foreign key (tenant_id, order_no) references shop_order,
  constraint accrual_reversed check (reversed between 0 and minor)
);
create index accrual_of_person on accrual (tenant_id, person, order_no, line, rule);
