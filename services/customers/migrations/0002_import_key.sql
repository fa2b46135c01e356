-- The key a client chose comes behind the caller's name.
alter table import drop constraint import_request_key_check,
    add constraint import_request_key_check check (char_length(request_key) between 1 and 200);
