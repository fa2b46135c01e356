-- What a receiver verifies our calls with. While a secret is being rotated the one before signs as well. Webhooks that
-- are there get one that nobody has been told: rotating it tells the next.
alter table webhook
  add column secret bytea not null
    default sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')),
  add column secret_at timestamptz not null default now(),
  add column old_secret bytea,
  add column old_secret_until timestamptz,
  add constraint webhook_secret_length check (octet_length(secret) between 24 and 64),
  add constraint webhook_old_secret check ((old_secret is null) = (old_secret_until is null));
