-- A walk along a page of an audience begins at its tenant, or it passes by the entries of all others.
create index contact_without_consent on contact (tenant_id, contact_id) where not marketing;
drop index contact_without_marketing;
create index contact_in_zone on contact (tenant_id, contact_id) include (zone) where zone is not null;
drop index contact_with_zone;
