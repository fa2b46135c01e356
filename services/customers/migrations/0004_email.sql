-- Where e-mails to a contact go, if anybody told: in plain ASCII, the domain in lower case.
alter table contact add column email text
    check (char_length(email) between 3 and 254 and email ~ '^[^[:space:][:cntrl:]@]+@[a-z0-9.-]+$');
