/** Settings of PostgreSQL by name; values as in `postgresql.conf`, without quotes. */
export type PostgresSettings = Readonly<Record<string, string | number>>;

/**
 * Settings for a database that shares a machine with the rest of the network: about 100 MB, durable, silent about data.
 * Given on the command line, so that nothing in the data folder can weaken them.
 */
export const defaultSettings: PostgresSettings = {
  // An acknowledged change survives kill -9 and power loss. These are PostgreSQL's defaults; here they are a promise.
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',

  max_connections: 100,
  shared_buffers: '64MB',
  maintenance_work_mem: '32MB',
  max_wal_size: '512MB',
  // Small queries only: compiling or spreading one over processes costs more than it brings.
  jit: 'off',
  max_parallel_workers_per_gather: 0,
  // Reads by helper processes would be three more processes for a database that fits into memory.
  io_method: 'sync',

  // A failing statement's text and the values in its message are data, and stay out of logs: who ran it is told anyway. Level `log`
  // stands above `error` here, so that PostgreSQL's words about itself and what is fatal remain.
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_parameter_max_length: 0,
  log_checkpoints: 'off',
  log_destination: 'stderr',
  logging_collector: 'off',
  log_line_prefix: '',
  lc_messages: 'C',
  log_timezone: 'UTC',
  timezone: 'UTC',
};

/** The arguments that put settings in force. Later ones win. */
export function settingArguments(...settings: readonly PostgresSettings[]): string[] {
  return Object.entries(Object.assign({}, ...settings) as PostgresSettings).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
}
