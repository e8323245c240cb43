/**
 * The store of a simulated network: rows, transactions, the fence of leadership, and everything that may go wrong at each
 * await of control. A statement or commit may fail before it had effect or after, leave open which of the two it was, or take so
 * long that anything else happens meanwhile. What a transaction writes is seen by others at its commit, and then whole.
 */
import type { CompiledQuery, DatabaseConnection, Dialect, Driver, QueryResult } from 'kysely';
import { PostgresAdapter, PostgresIntrospector, createQueryId } from 'kysely';
import type { Chance } from '../chance.ts';
import type { Row } from './conditions.ts';
import { type Tables, copyOf, isRead, rowsOf, run } from './rows.ts';

/** In how many of all operations something goes wrong; none before and after a run. */
export interface Faults {
  readonly fails: number;
  readonly hangs: number;
}
export const NO_FAULTS: Faults = { fails: 0, hangs: 0 };

interface Transaction {
  readonly client: string;
  statements: CompiledQuery[];
  fenced: boolean;
}

/** Like PostgreSQL when the connection breaks; see `isStoreFault`. */
function lost(): Error {
  return Object.assign(new Error('Connection terminated unexpectedly'), { code: '08006' });
}

export class SimulatedStore {
  #tables: Tables = new Map();
  readonly #chance: Chance;
  faults: Faults = NO_FAULTS;
  /** Checked by `subcloud_fence`; a planted fault takes it away. */
  isFencing = true;
  fence = 0;
  /** Planted: reads of this table find nothing. */
  forgets: string | undefined;
  /** Client -> operations of it that hang, to be let go in any order. */
  readonly #hanging: { readonly client: string; readonly go: (fails: boolean) => void }[] = [];
  readonly #gone = new Set<string>();
  readonly #open = new Set<Transaction>();
  /** A statement that this store cannot do: a fault of the simulation. */
  broken: unknown;
  readonly seen = { statements: 0, commits: 0, failed: 0, unknown: 0, hung: 0, refused: 0 };

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  rows(table: string): ReadonlyMap<string, Row> {
    return rowsOf(this.#tables, table);
  }

  put(table: string, key: string, row: Row): void {
    rowsOf(this.#tables, table).set(key, row);
  }

  clear(table: string): void {
    rowsOf(this.#tables, table).clear();
  }

  backup(): Tables {
    return copyOf(this.#tables);
  }

  restore(backup: Tables): void {
    this.#tables = copyOf(backup);
  }

  /** Something hangs of this client, or of any. */
  hangs(client?: string): boolean {
    return this.#hanging.some((one) => client === undefined || one.client === client);
  }

  /** An operation that hangs goes on, or its connection breaks. False: none hangs, but of processes that are stopped. */
  letGo(fails: boolean, isStopped: (client: string) => boolean): boolean {
    const able = this.#hanging.filter(({ client }) => !isStopped(client));
    const one = this.#chance.of(able);
    if (one === undefined) return false;
    this.#hanging.splice(this.#hanging.indexOf(one), 1);
    one.go(fails);
    return true;
  }

  /** The process is gone: its transactions end without a commit, and nothing of it is heard any more. */
  disconnect(client: string): void {
    this.#gone.add(client);
    for (const one of this.#open) if (one.client === client) this.#open.delete(one);
    for (const one of this.#hanging.splice(0)) if (one.client !== client) this.#hanging.push(one);
  }

  /** Who takes the lead waits for transactions under the fence; PostgreSQL ends those that idle, as this does. */
  takeLead(): number {
    for (const one of this.#open) if (one.fenced && this.isFencing) this.#open.delete(one);
    this.fence += 1;
    return this.fence;
  }

  dialect(client: string): Dialect {
    return {
      createAdapter: () => new PostgresAdapter(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => ({
        // Nobody reads the text of a statement here, but of one that was text to begin with.
        compileQuery: (query) => ({ query, sql: textOf(query), parameters: [], queryId: createQueryId() }) as never,
      }),
      createDriver: () => this.#driver(client),
    };
  }

  #driver(client: string): Driver {
    const transactions = new WeakMap<DatabaseConnection, Transaction>();
    return {
      init: () => Promise.resolve(),
      destroy: () => Promise.resolve(),
      acquireConnection: () => {
        const connection: DatabaseConnection = {
          executeQuery: <R>(query: CompiledQuery) =>
            this.#execute(client, transactions.get(connection), query) as Promise<QueryResult<R>>,
          streamQuery: () => {
            throw new Error('nothing is streamed');
          },
        };
        return Promise.resolve(connection);
      },
      releaseConnection: () => Promise.resolve(),
      beginTransaction: async (connection) => {
        await this.#passes(client);
        const transaction: Transaction = { client, statements: [], fenced: false };
        this.#open.add(transaction);
        transactions.set(connection, transaction);
      },
      commitTransaction: async (connection) => {
        const transaction = transactions.get(connection);
        transactions.delete(connection);
        await this.#commit(client, transaction);
      },
      rollbackTransaction: async (connection) => {
        const transaction = transactions.get(connection);
        transactions.delete(connection);
        if (transaction !== undefined) this.#open.delete(transaction);
        return Promise.resolve();
      },
    };
  }

  async #execute(
    client: string,
    transaction: Transaction | undefined,
    query: CompiledQuery,
  ): Promise<QueryResult<unknown>> {
    await this.#passes(client);
    if (transaction !== undefined && !this.#open.has(transaction)) throw lost();
    this.seen.statements += 1;
    if (query.sql.startsWith('select subcloud_fence')) {
      if (transaction !== undefined) transaction.fenced = true;
      this.#checkFence(Number(/\d+/.exec(query.sql)?.[0]));
      return { rows: [] };
    }
    if (isRead(query)) return { rows: reads(query, this.forgets) ? [] : [...this.#run(query)] };
    if (transaction !== undefined) transaction.statements.push(query);
    else {
      this.#run(query);
      await this.#passes(client);
    }
    return { rows: [], numAffectedRows: 1n };
  }

  #run({ query }: CompiledQuery): readonly Row[] {
    try {
      return run(this.#tables, query);
    } catch (error) {
      this.broken ??= error;
      throw error;
    }
  }

  #checkFence(fence: number): void {
    if (!this.isFencing || fence === this.fence) return;
    this.seen.refused += 1;
    throw Object.assign(new Error('another one leads'), { code: 'SC001' });
  }

  async #commit(client: string, transaction: Transaction | undefined): Promise<void> {
    await this.#passes(client);
    if (transaction === undefined || !this.#open.delete(transaction)) throw lost();
    for (const query of transaction.statements) this.#run(query);
    this.seen.commits += 1;
    try {
      await this.#passes(client);
    } catch (error) {
      this.seen.unknown += 1;
      throw error;
    }
  }

  /** One await: it passes, fails, or hangs and then does one of the two. Of a process that is gone nothing goes on. */
  async #passes(client: string): Promise<void> {
    if (this.#gone.has(client)) await new Promise(() => undefined);
    const { fails, hangs } = this.faults;
    if (fails === 0 && hangs === 0) return;
    const drawn = this.#chance.next();
    if (drawn >= fails + hangs) return;
    let isBroken = drawn < fails;
    if (!isBroken) {
      this.seen.hung += 1;
      isBroken = await new Promise<boolean>((resolve) => {
        this.#hanging.push({ client, go: resolve });
      });
    }
    if (!isBroken) return;
    this.seen.failed += 1;
    throw lost();
  }
}

function reads({ query }: CompiledQuery, table: string | undefined): boolean {
  return table !== undefined && JSON.stringify(query).includes(`"name":"${table}"`);
}

function textOf(query: { readonly kind: string }): string {
  if (query.kind !== 'RawNode') return '';
  return (query as unknown as { readonly sqlFragments: readonly string[] }).sqlFragments.join('?');
}
