-- The event log as a stream: whoever follows it by id misses nothing and sees nothing twice.

-- Whom an event is about, where it is about an account, a team or an organisation. Null: nobody in particular.
alter table events add column principal text;

-- The lowest position from which the log is whole: what stood at or before it has been dropped.
create table event_log (
  only_row boolean primary key default true check (only_row),
  dropped_to bigint not null default 0
);
insert into event_log default values;

-- Ids are given in the order of commits: one writer at a time, from before its first id until its commit. Else a reader
-- that has seen id 7 goes on after it, and never sees 6, whose transaction was open for longer. A statement trigger runs
-- before the statement draws its first id.
create function events_in_order() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(7700004);
  return null;
end $$;
create trigger events_in_order before insert on events for each statement execute function events_in_order();

-- Whether the log has told that the node is online; liveness itself is in memory alone.
alter table nodes add column told_online boolean not null default false;
