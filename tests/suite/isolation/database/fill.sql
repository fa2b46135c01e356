-- A row of each tenant (`fill.tenants`, by commas) in every table that has tenants, whatever its columns mean: checks
-- are dropped, foreign keys and triggers sleep. For a scratch database only; run as superuser.

do $$
declare
  tab regclass;
  one record;
  tenant text;
  columns text;
  cells text;
begin
  perform set_config('session_replication_role', 'replica', true);
  for one in
    select conrelid::regclass as tab, conname from pg_constraint
    where contype in ('c', 'x') and conrelid <> 0 and coninhcount = 0 -- parts lose theirs with the whole
      and connamespace::regnamespace::text !~ '^(pg_|information_schema)'
  loop
    execute format('alter table %s drop constraint %I', one.tab, one.conname);
  end loop;
  create temporary sequence fill_number;

  for tab in
    select attrelid::regclass from pg_attribute join pg_class on pg_class.oid = attrelid
    where attname = 'tenant_id' and relkind in ('r', 'p') and not relispartition
  loop
    foreach tenant in array string_to_array(current_setting('fill.tenants'), ',') loop
      select string_agg(quote_ident(attname), ', '), string_agg(cell, ', ') into columns, cells from (
        select attname, case
          when attname = 'tenant_id' then quote_literal(tenant)
          when typname = 'uuid' then 'gen_random_uuid()'
          when typname = 'bytea' then 'uuid_send(gen_random_uuid())'
          when typname in ('json', 'jsonb') then '''{}'''
          when typcategory = 'A' then '''{}'''
          when typcategory = 'B' then 'true'
          when typcategory = 'D' then 'now()'
          when typcategory = 'E' then format('enum_first(null::%s)', atttypid::regtype)
          when typcategory = 'N' then 'nextval(''fill_number'')'
          when typcategory = 'S' then 'gen_random_uuid()::text'
          when typcategory = 'T' then '''1 day'''
        end as cell
        from pg_attribute join pg_type on pg_type.oid = atttypid
        where attrelid = tab and attnum > 0 and not attisdropped and attgenerated = '' and attidentity = ''
      ) as each_column;
      if cells is null or columns is null or array_length(string_to_array(columns, ', '), 1)
        <> array_length(string_to_array(cells, ', '), 1) then
        raise exception 'fill.sql has no value for some type of a column of %: add its category', tab;
      end if;
      execute format('insert into %s (%s) values (%s)', tab, columns, cells);
    end loop;
  end loop;
end $$;
