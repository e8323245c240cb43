-- How much an account or organisation may have of what loads everybody. The empty holder: everybody who has no other.
create table quotas (
  holder text primary key,
  limits jsonb not null
);
