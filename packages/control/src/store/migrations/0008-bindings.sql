-- Bindings: whose whole traffic goes to one Subcloud, once they accept. Ended ones are kept.

create table bindings (
  id text primary key,
  subcloud_id text not null references subclouds (id),
  -- A principal, or token:ID of one credential.
  bound text not null,
  state text not null check (state in ('offered', 'active', 'declined', 'ended')),
  since bigint not null,
  changed_by text not null
);
-- A Subcloud offers one thing once, and whoever is bound is bound once.
create unique index bindings_live on bindings (subcloud_id, bound) where state <> 'ended';
create unique index bindings_active on bindings (bound) where state = 'active';
