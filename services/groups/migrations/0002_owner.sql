-- Who owns a group: the member who answers for it and speaks in it (群主). A group's series owns what it opens next.
-- Groups that were opened before have nobody, as have those that a version before opens meanwhile.
alter table series add column owner_id uuid;
alter table groups add column owner_id uuid;
