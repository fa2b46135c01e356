-- Where recipients live, as far as clocks go (decisions/0011). A chunk holds those of one zone, or of the tenant's (null).
-- It is not called `zone`: claims of the version before read that name of the tenant's row without saying whose it is.
alter table chunk add column in_zone text;

-- A date and time of day that is another moment in each zone: chunks get theirs as `not_before`.
alter table broadcast
  add column send_at_local timestamp,
  add constraint broadcast_begins_once check (send_at is null or send_at_local is null);
