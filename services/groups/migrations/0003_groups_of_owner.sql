-- Posting in some members' groups finds them without walking along all of the tenant's. Owners stay, so a seat that is taken
-- changes no index.
create index groups_of_owner on groups (tenant_id, owner_id, group_id);
