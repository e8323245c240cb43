-- Requests that a limit in dry run would have refused are counted by pool; few records say so, and the others are not read.
create index decisions_over_limit on decisions (pool, at) where record ? 'overLimit';
