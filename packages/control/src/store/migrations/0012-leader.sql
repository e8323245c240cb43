-- Which control replica reconciles. One row; `fence` counts the terms, and every transaction of a leader checks its own.
create table leader (
  only_row boolean primary key default true check (only_row),
  fence bigint not null,
  -- Pid, boot and start of the holding process; empty: it has given the lead up.
  holder text not null,
  -- By the clock of the database, ms since the epoch.
  renewed_at bigint not null
);
insert into leader (fence, holder, renewed_at) values (0, '', 0);

-- First in every transaction of a leader. A new leader raises the fence under the same lock, taken alone: so it waits for
-- what its predecessor has under way, and what comes after that is refused. A function reads what is committed when each
-- of its statements begins; in one statement the fence would be read as it was before the lock was waited for.
create function subcloud_fence(mine bigint) returns void language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(7700003);
  if not exists (select from leader where fence = mine) then
    raise exception 'another control replica leads' using errcode = 'SC001';
  end if;
end
$$;
