-- Each transaction is summed once when entries are added to it and once at its commit, not once for every entry.
drop trigger entry_balances on entry;

create function refuse_unbalanced_entries() returns trigger language plpgsql as $$
declare
  unbalanced uuid;
begin
  select transaction_id into unbalanced
  from entry join (select distinct tenant_id, transaction_id from added) as touched using (tenant_id, transaction_id)
  group by tenant_id, transaction_id, currency having sum(minor) <> 0 limit 1;
  if found then
    raise exception 'transaction % does not sum to zero', unbalanced
      using errcode = 'check_violation', constraint = 'transaction_balances', table = 'transaction';
  end if;
  return null;
end $$;

-- Also when they are added to an old transaction. All entries of a transaction come in one statement.
create trigger entry_balances after insert on entry referencing new table as added
  for each statement execute function refuse_unbalanced_entries();

-- A person may be named by an external id that looks like a contact's.
create index person_of_external_id on person (tenant_id, external_id);
