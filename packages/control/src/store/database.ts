/**
 * The connection to PostgreSQL. Every acknowledged write is durable because the server's defaults (fsync and
 * synchronous_commit on) are left alone; nothing here turns them off.
 */
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Log } from '@subcloud/kit/log';
import { fencedDialect } from '../leader/fenced-dialect.ts';
import type { Schema } from './schema.ts';

export type Database = Kysely<Schema>;

const BIGINT_OID = 20;
const MAX_CONNECTIONS = 10;
const CONNECT_TIMEOUT_MS = 10_000;

/** The term for which a connection may write; see leader/fenced-dialect.ts. */
export interface Fence {
  readonly number: number;
  readonly onRefused: () => void;
}

/** Without `fence` nothing is checked: for tools, and for what only reads. */
export function openDatabase(connectionString: string, log: Log, fence?: Fence): Database {
  const types = {
    getTypeParser: (oid: number, format?: 'text' | 'binary') =>
      oid === BIGINT_OID ? Number : pg.types.getTypeParser(oid, format as 'text'),
  };
  const pool = new pg.Pool({
    connectionString,
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    // A PostgreSQL that hangs must not hang control with it; nothing here runs longer.
    statement_timeout: 30_000,
    // A replica that was stopped inside a transaction holds up the next leader no longer than this.
    idle_in_transaction_session_timeout: 10_000,
    types: types as unknown as pg.CustomTypesConfig,
  });
  // An idle connection that the server ends is replaced at the next use; unhandled it would end the process.
  pool.on('error', (error) => log.warn({ err: error }, 'an idle database connection ended'));
  // So would one that ends while it is held between two statements; the next of them fails, and whoever sent it hears why.
  pool.on('connect', (client) => client.on('error', () => undefined));
  const base = new PostgresDialect({ pool });
  return new Kysely<Schema>({
    dialect: fence === undefined ? base : fencedDialect(base, fence.number, fence.onRefused),
  });
}

/** PostgreSQL's classes 08 (connection), 53 (resources), 57 (operator intervention), and what the socket or pool says of the same. */
const STORE_FAULT = /^(?:08|53|57)|^(?:ECONNREFUSED|ECONNRESET|ENOENT|EPIPE|ETIMEDOUT)$/;

/** The database was away or went away: nothing is wrong with the request. */
export function isStoreFault(error: unknown): boolean {
  if (!(error instanceof Error) || error.name === 'AppError') return false;
  const code = 'code' in error ? String(error.code) : '';
  return (
    STORE_FAULT.test(code) ||
    /Connection terminated|is not queryable|timeout exceeded when trying to connect/.test(error.message)
  );
}
