-- Until when the tokens of a rate are given out: workers take a second's worth in one statement. It stands with the mass
-- message because the dispatcher looks at it: what has no tokens yet is not worth a worker's lane.
alter table broadcast add column paced_to timestamptz;
drop table rate_lease;
