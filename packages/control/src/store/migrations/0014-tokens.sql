-- What a token is narrowed to, its rotation, and when credentials were last used.
alter table subcloud_tokens
  add column scopes jsonb,
  add column models jsonb,
  add column limits jsonb,
  add column last_used_at bigint,
  -- The secret before the last rotation opens as well until then.
  add column previous_hash text unique,
  add column previous_until bigint;
alter table account_keys add column last_used_at bigint;
