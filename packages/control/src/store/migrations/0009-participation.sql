-- Bans, and what operators answer with their accounts.

alter table memberships drop constraint memberships_state_check;
alter table memberships add constraint memberships_state_check
  check (state in ('requested', 'invited', 'active', 'suspended', 'draining', 'left', 'removed', 'banned'));
alter table memberships drop constraint memberships_drains_to_check;
alter table memberships add constraint memberships_drains_to_check check (drains_to in ('left', 'removed', 'banned'));

create table operator_answers (
  node_id text not null references nodes (id),
  subcloud_id text not null references subclouds (id),
  answer text not null check (answer in ('accepted', 'declined')),
  -- Of a yes: the most that the Subcloud may isolate.
  isolation text not null check (isolation in ('shared', 'isolate', 'exclusive')),
  answered_by text not null,
  at bigint not null,
  primary key (node_id, subcloud_id)
);

create table bans (
  id text primary key,
  -- `global`: from the whole network.
  subcloud_id text not null references subclouds (id),
  kind text not null check (kind in ('node', 'operator', 'account')),
  subject text not null,
  reason text,
  banned_by text not null,
  at bigint not null,
  lifted_at bigint,
  lifted_by text,
  check ((lifted_at is null) = (lifted_by is null))
);
create unique index bans_in_force on bans (subcloud_id, kind, subject) where lifted_at is null;
