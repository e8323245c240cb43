-- Usage that is older than single records are kept, by day (its first millisecond in UTC).
create table usage_days (
  day bigint not null,
  principal text not null,
  pool text not null,
  model text not null,
  requests bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  estimated bigint not null,
  primary key (day, principal, pool, model)
);
-- Up to which sequence the records of a gateway are summed: one that comes again is not counted again.
create table usage_rolled (
  gateway text primary key,
  sequence bigint not null
);
