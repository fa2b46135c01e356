-- Whether each tenant's accounts sum to zero is asked for all tenants at once, by the ledger check.
create policy everyone on balance for select using (current_setting('shequn.tenant', true) = '*');
