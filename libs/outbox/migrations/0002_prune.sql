-- What is pruned is found by its age.
create index inbox_seen on inbox (seen_at);
create index request_at on request (at);
