-- What customers remembers: a copy of who is on the staff, live codes, contacts and who follows them.
-- Primary keys start with the tenant: the row-level policy compares it, and pages of one tenant lie together.
-- No other index does: while a table has no statistics the planner takes any index that starts with the tenant for
-- good, and a cached plan that walks all of a tenant's rows for each foreign key made an import 30 times slower.

-- Copies of identity's facts, kept by its events.

create table tenant (
    tenant_id uuid primary key,
    verified_at timestamptz not null
);

create table member (
    tenant_id uuid not null,
    member_id uuid not null,
    -- What contacts see. Empty while only the leaving has been heard of: events may overtake each other.
    alias text not null,
    role text not null,
    left_at timestamptz,
    primary key (tenant_id, member_id)
);

-- Tags.

create table tag (
    tenant_id uuid not null,
    tag_id uuid not null,
    name text not null check (char_length(name) between 1 and 30),
    primary key (tenant_id, tag_id),
    constraint tag_name_unique unique (name, tenant_id)
);

-- Live codes.

create table code (
    tenant_id uuid not null,
    code_id uuid not null,
    name text not null check (char_length(name) between 1 and 60),
    -- The opaque channel parameter of D61.
    state text not null check (char_length(state) <= 30),
    welcome text not null check (char_length(welcome) <= 1000),
    created_by uuid not null,
    created_at timestamptz not null,
    primary key (tenant_id, code_id)
);

-- Whose code a token is: all that may be asked without knowing the tenant.
create table code_token (
    token text primary key check (token ~ '^[a-z2-7]{26}$'),
    tenant_id uuid not null,
    code_id uuid not null,
    constraint code_token_code_unique unique (code_id, tenant_id),
    foreign key (tenant_id, code_id) references code on delete cascade
);

create table code_member (
    tenant_id uuid not null,
    code_id uuid not null,
    member_id uuid not null,
    weight integer not null check (weight between 1 and 1000),
    primary key (tenant_id, code_id, member_id),
    foreign key (tenant_id, code_id) references code on delete cascade
);

create table code_tag (
    tenant_id uuid not null,
    code_id uuid not null,
    tag_id uuid not null,
    primary key (tenant_id, code_id, tag_id),
    foreign key (tenant_id, code_id) references code on delete cascade,
    foreign key (tenant_id, tag_id) references tag
);

-- Contacts. What hangs on a contact refers to it; it does not refer to the code, tag or member it came by:
-- such a key would make every scan of a code share-lock the same few rows.

create table contact (
    tenant_id uuid not null,
    contact_id uuid not null,
    external_id text not null check (char_length(external_id) between 1 and 64),
    name text not null check (char_length(name) <= 100),
    language text not null check (char_length(language) <= 35),
    -- E.164, or nothing.
    phone text check (phone ~ '^\+[1-9][0-9]{7,14}$'),
    birth_month text check (birth_month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    marketing boolean not null,
    -- What the answer to marketing rests on (D37): nobody asked yet, stated on the scan page, or said by the contact.
    consent_basis text not null check (consent_basis in ('import', 'scan', 'contact')),
    -- The version of the text the contact saw; 0 when there was none.
    consent_version integer not null,
    consent_at timestamptz not null,
    created_at timestamptz not null,
    primary key (tenant_id, contact_id),
    constraint contact_external_id_unique unique (external_id, tenant_id)
);

create table contact_tag (
    tenant_id uuid not null,
    contact_id uuid not null,
    tag_id uuid not null,
    primary key (tenant_id, contact_id, tag_id),
    foreign key (tenant_id, contact_id) references contact on delete cascade
);
create index contact_tag_by_tag on contact_tag (tag_id, contact_id);

create table follow (
    tenant_id uuid not null,
    contact_id uuid not null,
    member_id uuid not null,
    -- `moved`: the member left, and moved_to follows in their place.
    state text not null check (state in ('active', 'moved')),
    moved_to uuid check ((moved_to is not null) = (state = 'moved')),
    remark text not null default '' check (char_length(remark) <= 20),
    -- How it came about (D32).
    add_way text not null check (add_way in ('live_code', 'phone_search', 'external_group', 'card')),
    code_id uuid not null,
    -- The code's state when it was scanned; never changed (D61).
    channel text not null check (char_length(channel) <= 30),
    befriended_at timestamptz not null,
    last_active_at timestamptz not null,
    primary key (tenant_id, contact_id, member_id),
    foreign key (tenant_id, contact_id) references contact on delete cascade
);
create index follow_by_member on follow (member_id, contact_id) where state = 'active';

-- Which member a code shows a contact; decided at the first scan, kept at every other (D63).
create table assignment (
    tenant_id uuid not null,
    contact_id uuid not null,
    code_id uuid not null,
    member_id uuid not null,
    assigned_at timestamptz not null,
    -- When the first member had left and another took over.
    moved_at timestamptz,
    primary key (tenant_id, contact_id, code_id),
    foreign key (tenant_id, contact_id) references contact on delete cascade
);

-- Imports.

create table import (
    tenant_id uuid not null,
    import_id uuid not null,
    request_key text not null check (char_length(request_key) between 1 and 128),
    -- SHA-256 of method, path and body, known when the whole body has been read.
    fingerprint bytea,
    dry_run boolean not null,
    state text not null check (state in ('running', 'finished', 'failed')),
    -- Why it failed.
    failure text,
    rows integer not null,
    created integer not null,
    updated integer not null,
    rejected integer not null,
    started_by uuid not null,
    started_at timestamptz not null,
    -- When a batch was last written: an import that stands still was cut off.
    progress_at timestamptz not null,
    finished_at timestamptz,
    primary key (tenant_id, import_id),
    constraint import_request_key_unique unique (request_key, tenant_id)
);

create table import_rejection (
    tenant_id uuid not null,
    import_id uuid not null,
    line integer not null,
    -- Never the value: it may be personal.
    field text,
    reason text not null,
    remedy text not null,
    primary key (tenant_id, import_id, line),
    foreign key (tenant_id, import_id) references import on delete cascade
);

-- Rows of one tenant are seen and written only in a transaction of this tenant.
do $$
declare
    name text;
begin
    foreach name in array array['tenant', 'member', 'tag', 'code', 'code_token', 'code_member', 'code_tag',
                                'contact', 'contact_tag', 'follow', 'assignment', 'import', 'import_rejection'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format($policy$
            create policy tenant on %I
            using (tenant_id = nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid)
            with check (tenant_id = nullif(nullif(current_setting('shequn.tenant', true), ''), '*')::uuid)
        $policy$, name);
    end loop;
end $$;

-- A scan knows a token, not a tenant (decisions/0002-look-a-code-up-across-tenants.md).
create policy everyone on code_token for select using (current_setting('shequn.tenant', true) = '*');

create function code_of_token(wanted text, out tenant_id uuid, out code_id uuid)
language plpgsql as $$
declare
    before text := coalesce(current_setting('shequn.tenant', true), '');
begin
    perform set_config('shequn.tenant', '*', true);
    select t.tenant_id, t.code_id into tenant_id, code_id from code_token as t where t.token = wanted;
    perform set_config('shequn.tenant', before, true);
end $$;
revoke execute on function code_of_token from public;
grant execute on function code_of_token to customers;

grant select, insert, update on tenant, member, tag, contact, follow, assignment, import to customers;
grant select, insert on code, code_token, code_member, code_tag to customers;
grant select, insert, delete on contact_tag, import_rejection to customers;
