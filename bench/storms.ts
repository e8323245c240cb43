/**
 * `npm run bench:storms`: 2,000 agents of one process, linked by the real code; control and then the gateway start again
 * under them. Last line: one JSON object; the exit code is 1 where anything drained, failed or was written too often.
 *
 * `--agents=N`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from '@subcloud/control/store/migrate';
import { ensureDatabase } from '@subcloud/kit/postgres/ensure-database';
import { startPostgres } from '@subcloud/kit/postgres/start-postgres';
import { runStorm } from '../tests/storms/storm.ts';

const given = process.argv.find((argument) => argument.startsWith('--agents='));
const agents = given === undefined ? 2_000 : Number(given.slice('--agents='.length));
const folder = mkdtempSync(join(tmpdir(), 'subcloud-storms-'));
const postgres = await startPostgres({ dataDir: join(folder, 'postgres') });
try {
  await ensureDatabase(postgres.connectionString('postgres'), 'subcloud');
  const databaseUrl = postgres.connectionString('subcloud');
  await migrate(databaseUrl);
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const storm = await runStorm({ databaseUrl, agents, say, limitMs: 300_000 });
  const calm =
    storm.membershipEvents.length === 0 &&
    storm.changedMemberships === 0 &&
    storm.requests.failed === 0 &&
    storm.control.rowsWritten <= 20 &&
    storm.gateway.rowsWritten <= 5 * agents + 20;
  process.stdout.write(`${JSON.stringify({ ...storm, calm })}\n`);
  process.exitCode = calm ? 0 : 1;
} finally {
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
}
