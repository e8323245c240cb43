-- Organisations, teams, roles, delegation. Principals that the admin made before go on as they are: an organisation or a
-- team among them gets its row here, without members, so that the admin can name its owners.

alter table principals add column network_role text check (network_role in ('admin', 'auditor'));

create table organisations (
  id text primary key references principals (id),
  display_name text,
  created_at bigint not null,
  created_by text not null
);
create table teams (
  id text primary key references principals (id),
  organisation text not null references organisations (id),
  display_name text,
  created_at bigint not null,
  created_by text not null
);
-- Of organisations and of teams. Who is in a team is in its organisation.
create table group_members (
  group_id text not null references principals (id),
  principal text not null references principals (id),
  role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
  since bigint not null,
  added_by text not null,
  primary key (group_id, principal)
);
create index group_members_principal on group_members (principal);

create table subcloud_delegates (
  subcloud_id text not null references subclouds (id),
  principal text not null references principals (id),
  since bigint not null,
  added_by text not null,
  primary key (subcloud_id, principal)
);

insert into principals (id, created_at)
  select distinct 'org:' || split_part(substr(id, 6), '/', 1), created_at from principals where id like 'team:%'
  on conflict do nothing;
insert into organisations (id, created_at, created_by)
  select id, created_at, 'admin' from principals where id like 'org:%';
insert into teams (id, organisation, created_at, created_by)
  select id, 'org:' || split_part(substr(id, 6), '/', 1), created_at, 'admin' from principals where id like 'team:%';
