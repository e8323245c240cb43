-- Requests, draining, and what a cooldown counts from.
alter table memberships drop constraint memberships_state_check;
alter table memberships add constraint memberships_state_check
  check (state in ('requested', 'invited', 'active', 'suspended', 'draining', 'left', 'removed'));
-- Suspended: since when everything passes again; else when the node last departed from having been active.
alter table memberships add column cooldown_from bigint;
-- While draining: what it becomes.
alter table memberships add column drains_to text check (drains_to in ('left', 'removed'));
update memberships set cooldown_from = since where state in ('left', 'removed') and active_since is not null;
