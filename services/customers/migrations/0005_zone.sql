-- Where a contact lives, as far as clocks go: a name of the IANA database, or nothing for the tenant's zone. What is written
-- has been looked up before; the database's own list of zones may be older or newer.
alter table contact add column zone text check (char_length(zone) between 1 and 64);
-- Pages of an audience learn zones from it; of tenants whose contacts have none it holds nothing.
create index contact_with_zone on contact (contact_id) include (tenant_id, zone) where zone is not null;
