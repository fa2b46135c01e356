-- Posts in groups (decisions/0014): which groups, as it was asked for; null for what goes to contacts. Wherever a contact's
-- id stands for a recipient, a post has a group's.
alter table broadcast add column post_in jsonb;

-- A group's posts are counted beside the contacts' messages. What is there was held to less, so nothing is looked at again.
alter table cap
  drop constraint cap_kind_check,
  add constraint cap_kind_check check (kind in ('member', 'enterprise', 'fatigue', 'group')) not valid;
alter table cap_tally
  drop constraint cap_tally_scope_check,
  add constraint cap_tally_scope_check check (scope in ('member', 'enterprise', 'fatigue', 'group')) not valid;
alter table cap_policy
  drop constraint cap_policy_scope_check,
  add constraint cap_policy_scope_check check (scope in ('member', 'enterprise', 'fatigue', 'group')) not valid;
