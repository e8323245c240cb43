/**
 * An independent witness of the routing table: a watch of its own on control's socket, which keeps for every version
 * which nodes were members of which pools. It never acknowledges, so it holds no lease and nothing waits for it.
 */
import { request } from 'node:http';
import { join } from 'node:path';
import { WATCH_PATHS, WATCH_VERSION } from '@subcloud/contract/watch';
import { TABLE_FORMAT } from '@subcloud/contract/table';

export interface TableObserver extends Disposable {
  /** `pool/node` of every member row of that version; undefined if the witness never saw the version. */
  members(version: number): ReadonlySet<string> | undefined;
  readonly newest: number;
}

export async function observeTable(dataDir: string): Promise<TableObserver> {
  const versions = new Map<number, ReadonlySet<string>>();
  let current = new Set<string>();
  let newest = 0;
  let rest = '';
  const take = (line: string): void => {
    const message = JSON.parse(line) as {
      type: string;
      mode?: string;
      tableVersion?: number;
      set?: [string, unknown][];
      delete?: string[];
    };
    if (message.type === 'begin') current = message.mode === 'snapshot' ? new Set() : new Set(current);
    for (const [key] of message.set ?? []) if (key.startsWith('member/')) current.add(key.slice('member/'.length));
    for (const key of message.delete ?? []) current.delete(key.slice('member/'.length));
    if (message.type === 'commit' && message.tableVersion !== undefined) {
      newest = message.tableVersion;
      versions.set(newest, current);
    }
  };
  const watch = request({
    socketPath: join(dataDir, 'run', 'gateways.sock'),
    path: `${WATCH_PATHS.watch}?gateway=gw_witness&boot=1&version=${WATCH_VERSION}&table=${TABLE_FORMAT}`,
  });
  await new Promise<void>((resolve, reject) => {
    watch.on('error', reject);
    watch.on('response', (response) => {
      response.setEncoding('utf8');
      response.on('error', () => undefined);
      response.on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        lines.forEach(take);
        if (newest > 0) resolve();
      });
    });
    watch.end();
  });
  return {
    members: (version) => versions.get(version),
    get newest() {
      return newest;
    },
    [Symbol.dispose]: () => watch.destroy(),
  };
}
