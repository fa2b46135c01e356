-- What a tenant's links out of marketing are signed with: the key of today, and the one before, whose links stay good.
alter table tenant
  add column link_generation smallint not null default 1 check (link_generation > 0),
  add column link_key bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
  add column link_key_before bytea;
