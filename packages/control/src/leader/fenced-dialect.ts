/**
 * A connection to PostgreSQL that writes for one term of leadership only: every transaction begins with the check of its
 * fencing number, and a write outside a transaction is put into one of its own. So nothing that a replica has begun before
 * it lost the lead, however long it was stopped meanwhile, can reach the store after another one leads.
 */
import { AppError } from '@subcloud/contract/errors';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  type TransactionSettings,
} from 'kysely';

const NOT_LEADING = 'SC001';
/** Statement kinds that only read; a raw statement may be anything, and is judged by its first word. */
const READS: ReadonlySet<string> = new Set(['SelectQueryNode', 'ValuesNode']);

/** `base`: PostgreSQL's. `fence`: the number of the term. `onRefused` is called when the store says that it is over. */
export function fencedDialect(base: Dialect, fence: number, onRefused: () => void): Dialect {
  return {
    createAdapter: () => base.createAdapter(),
    createIntrospector: (db) => base.createIntrospector(db),
    createQueryCompiler: () => base.createQueryCompiler(),
    createDriver: () => fencedDriver(base.createDriver(), fence, onRefused),
  };
}

function fencedDriver(base: Driver, fence: number, onRefused: () => void): Driver {
  const inTransaction = new WeakSet<DatabaseConnection>();
  const plain = new WeakMap<DatabaseConnection, DatabaseConnection>();
  const plainOf = (connection: DatabaseConnection): DatabaseConnection => plain.get(connection) ?? connection;
  const begin = async (connection: DatabaseConnection, settings: TransactionSettings): Promise<void> => {
    await base.beginTransaction(connection, settings);
    try {
      await connection.executeQuery(CompiledQuery.raw(`select subcloud_fence(${fence})`));
    } catch (error) {
      await base.rollbackTransaction(connection).catch(() => undefined);
      if (!isRefusal(error)) throw error;
      onRefused();
      throw new AppError('platform.standby', { cause: error, retryAfterS: 2 });
    }
  };
  const alone = async <Row>(connection: DatabaseConnection, query: CompiledQuery): Promise<QueryResult<Row>> => {
    await begin(connection, {});
    try {
      const result = await connection.executeQuery<Row>(query);
      await base.commitTransaction(connection);
      return result;
    } catch (error) {
      await base.rollbackTransaction(connection).catch(() => undefined);
      throw error;
    }
  };
  return {
    init: (...options) => base.init(...options),
    destroy: (...options) => base.destroy(...options),
    async acquireConnection(...options) {
      const connection = await base.acquireConnection(...options);
      const fenced: DatabaseConnection = {
        executeQuery: (query, ...more) =>
          inTransaction.has(fenced) || isRead(query)
            ? connection.executeQuery(query, ...more)
            : alone(connection, query),
        streamQuery: (...query) => connection.streamQuery(...query),
      };
      plain.set(fenced, connection);
      return fenced;
    },
    releaseConnection: (connection, ...options) => base.releaseConnection(plainOf(connection), ...options),
    async beginTransaction(connection, settings) {
      await begin(plainOf(connection), settings);
      inTransaction.add(connection);
    },
    async commitTransaction(connection) {
      inTransaction.delete(connection);
      await base.commitTransaction(plainOf(connection));
    },
    async rollbackTransaction(connection) {
      inTransaction.delete(connection);
      await base.rollbackTransaction(plainOf(connection));
    },
  };
}

function isRead({ query, sql }: CompiledQuery): boolean {
  return READS.has(query.kind) || (query.kind === 'RawNode' && /^\s*select\b/i.test(sql));
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === NOT_LEADING;
}
