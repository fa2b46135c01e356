-- Chunks of a slow receiver are sent beside the workers' lanes (decisions/0006), and workers tell how slow it is.
alter table chunk
  -- Dispatched to be sent aside; counts while it is queued or being sent.
  add column aside boolean not null default false,
  -- Since when its worker has been at the sub-batch under way; null until somebody claims what was dispatched.
  add column busy_since timestamptz,
  -- How long the calls of its last sub-batch took, beside what they waited for tokens.
  add column call_secs double precision;
