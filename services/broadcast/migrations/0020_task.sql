-- When a member was reminded of a share that waits for her word, and how often.
alter table task
  add column reminders integer not null default 0,
  add column reminded_at timestamptz;
create index task_to_remind on task ((coalesce(reminded_at, opened_at))) where state = 'waiting';
