-- The journal: balanced transactions, never changed. Accounts are debit +, credit −.
create table transaction (
  tenant_id uuid not null,
  transaction_id uuid not null,
  kind text not null,
  order_no text not null,
  event_id text collate "C",             -- the event it follows from; none: time passed
  caused_by text collate "C",            -- the event whose arrival had it posted; none: time passed
  occurred_at timestamptz not null,      -- when it took effect
  posted_at timestamptz not null,
  primary key (tenant_id, transaction_id),
  foreign key (tenant_id, order_no) references shop_order,
  constraint transaction_kind check (kind in ('sale', 'refund', 'void', 'maturity'))
);
create index transaction_of_order on transaction (tenant_id, order_no);

create table entry (
  tenant_id uuid not null,
  transaction_id uuid not null,
  seq integer not null,
  account text not null,
  currency text not null,
  minor bigint not null,
  line bigint,                           -- with `rule`: the commission it belongs to
  rule text,
  primary key (tenant_id, transaction_id, seq),
  foreign key (tenant_id, transaction_id) references transaction,
  constraint entry_moves check (minor <> 0)
);
create index entry_of_account on entry (tenant_id, account, transaction_id);

-- Σ entries by account, kept by delta in the transaction that adds the entries.
create table balance (
  tenant_id uuid not null,
  account text not null,
  currency text not null,
  minor bigint not null,
  primary key (tenant_id, account, currency)
) with (fillfactor = 70);                -- room in the page for the next version of a hot account

-- Whatever is committed sums to zero, per transaction and currency (I01).
create function refuse_unbalanced() returns trigger language plpgsql as $$
begin
  -- Null when it has no entries at all.
  if (select bool_or(total <> 0) from (
        select sum(minor) as total from entry
        where tenant_id = new.tenant_id and transaction_id = new.transaction_id group by currency) as totals)
    is distinct from false
  then
    raise exception 'transaction % does not sum to zero', new.transaction_id
      using errcode = 'check_violation', constraint = 'transaction_balances', table = 'transaction';
  end if;
  return null;
end $$;

create constraint trigger transaction_balances after insert on transaction
  deferrable initially deferred for each row execute function refuse_unbalanced();
create constraint trigger entry_balances after insert on entry
  deferrable initially deferred for each row execute function refuse_unbalanced();

-- Nothing that stands is changed, by whatever role (I03).
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name
    using errcode = 'insufficient_privilege', hint = 'post an adjusting transaction';
end $$;

create trigger transaction_stands before update or delete or truncate on transaction
  for each statement execute function refuse_change();
create trigger entry_stands before update or delete or truncate on entry
  for each statement execute function refuse_change();
