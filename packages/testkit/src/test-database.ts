import { randomUUID } from 'node:crypto';
import { socketUrl } from '@subcloud/kit/postgres/socket-url';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { inject } from 'vitest';
import type { TestPostgres } from './vitest-global-setup.ts';

/** A migrated, empty database that nothing else uses. */
export interface TestDatabase extends AsyncDisposable {
  readonly connectionString: string;
}

/**
 * Clones the migrated template: tens of milliseconds, so one a test file, or one a test that needs emptiness. Needs the global setup of
 * this package. Disposing of it drops nothing: a database is never dropped by force under a pool that is still closing (its late 57P01
 * fails a run whose tests all passed), and the whole cluster is thrown away at the end.
 */
export async function testDatabase(): Promise<TestDatabase> {
  // Without the global setup nothing is provided, whatever the type says.
  const server = inject('testPostgres') as TestPostgres | undefined;
  if (server === undefined)
    throw new Error('no test PostgreSQL: is vitest-global-setup.ts in the vitest configuration?');
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await withClient(socketUrl(server, server.adminDatabase), async (client) => {
    // Copying files is several times faster here than writing every page to the log, which is the default.
    await client.query(`create database ${name} template ${server.templateDatabase} strategy file_copy`);
  });
  return { connectionString: socketUrl(server, name), [Symbol.asyncDispose]: () => Promise.resolve() };
}
