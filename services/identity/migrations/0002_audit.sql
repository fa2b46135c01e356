-- All services keep their audit in `audit_entry` now. The version before this one may still run: what it writes to
-- `audit` goes there, too. A later release drops `audit`.
alter table audit no force row level security;
alter table audit_entry no force row level security;
insert into audit_entry (tenant_id, audit_entry_id, at, actor_kind, actor_id, action, subject_id, note)
select tenant_id, audit_id, at, actor_kind, actor_id::text, action, subject_id::text, note from audit order by audit_id;
alter table audit_entry force row level security;
alter table audit force row level security;

create function copy_audit() returns trigger language plpgsql as $$
begin
  insert into audit_entry (tenant_id, audit_entry_id, at, actor_kind, actor_id, action, subject_id, note)
  values (new.tenant_id, new.audit_id, new.at, new.actor_kind, new.actor_id::text, new.action, new.subject_id::text, new.note);
  return null;
end $$;
create trigger audit_moves after insert on audit for each row execute function copy_audit();
