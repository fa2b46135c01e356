-- Each tenant's rows for itself.
do $$
declare
  tab text;
begin
  foreach tab in array array[
    'plan', 'person', 'event_key', 'shop_order', 'order_event', 'parked', 'accrual',
    'transaction', 'entry', 'balance']
  loop
    execute format('alter table %I enable row level security', tab);
    execute format('alter table %I force row level security', tab);
    execute format(
      'create policy tenant on %I
       using (tenant_id = nullif(nullif(current_setting(''shequn.tenant'', true), ''''), ''*'')::uuid)', tab);
  end loop;
end $$;

-- Whose commissions mature next is asked for all tenants at once; nothing else is.
create policy everyone on shop_order for select using (current_setting('shequn.tenant', true) = '*');

grant select, insert on plan to referral;
grant select, insert, update (external_id) on person to referral;
grant select, insert on event_key to referral;
grant select, insert, update (plan_id, settled_until, matures_at) on shop_order to referral;
grant select, insert on order_event to referral;
grant select, insert, update (parked_at, cleared_at) on parked to referral;
grant select, insert, update (reversed) on accrual to referral;
grant select, insert on transaction to referral;
grant select, insert on entry to referral;
grant select, insert, update (minor) on balance to referral;
