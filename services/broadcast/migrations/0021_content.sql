-- What a mass message says beyond one text for all: `content` is what its author wrote (templates by language), `text`
-- and `attachments` the same in its own language, to nobody in particular. With nothing to fill in that is what everybody
-- gets; else each message holds its own words, and they go with it.
alter table broadcast
  add column content jsonb,
  add column attachments jsonb not null default '[]';
alter table inbox_message add column said jsonb;
