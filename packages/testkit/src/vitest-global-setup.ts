import { migrate } from '@subcloud/control/store/migrate';
import { ensureDatabase } from '@subcloud/kit/postgres/ensure-database';
import type { SocketAddress } from '@subcloud/kit/postgres/socket-url';
import { withClient } from '@subcloud/kit/postgres/with-client';
import type { TestProject } from 'vitest/node';
import { startTestCluster } from './test-cluster.ts';

/** What a worker needs to make a database of its own. */
export interface TestPostgres extends SocketAddress {
  /** An existing database, for statements that concern the whole cluster. */
  readonly adminDatabase: string;
  /** A migrated, empty database that nobody may connect to. */
  readonly templateDatabase: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    testPostgres: TestPostgres;
  }
}

const adminDatabase = 'subcloud';
const templateDatabase = 'migrated_template';

/**
 * One PostgreSQL for the whole run, started before the first test file and thrown away after the last. Migrations run once, into a
 * template; each test file clones it.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await startTestCluster();
  try {
    const adminUrl = postgres.connectionString(adminDatabase);
    await ensureDatabase(adminUrl, templateDatabase);
    await migrate(postgres.connectionString(templateDatabase));
    // A database with a session cannot be cloned: a test that connects to the template by mistake shall fail alone.
    await withClient(adminUrl, (client) =>
      client.query(`alter database ${templateDatabase} with allow_connections false`),
    );
  } catch (error) {
    await postgres[Symbol.asyncDispose]();
    throw error;
  }
  const { socketDir, port, user } = postgres;
  project.provide('testPostgres', { socketDir, port, user, adminDatabase, templateDatabase });
  return async () => {
    await postgres[Symbol.asyncDispose]();
  };
}
