-- What a contact reads. The id is derived from what the message is, so storing it twice is storing it once.
create table inbox_message (
  tenant_id uuid not null,
  message_id uuid primary key,
  contact_id uuid not null,
  kind text not null check (kind in ('welcome', 'greeting', 'member', 'enterprise')),
  from_member uuid,
  -- A mass message's text stands in its broadcast, once.
  broadcast_id uuid references broadcast,
  text text,
  at timestamptz not null default now(),
  read_at timestamptz,
  constraint inbox_message_text check ((text is null) = (broadcast_id is not null))
);
create index inbox_message_of_contact on inbox_message (tenant_id, contact_id, at desc, message_id desc);
