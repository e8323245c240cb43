import type { CredentialRow } from '@subcloud/contract/table';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PublishedTable, type TableDelta, createPublishedTable } from './published-table.ts';

const row = (id: string): CredentialRow => ({
  id,
  kind: 'account',
  principal: 'org:acme',
  pool: null,
  expiresAt: null,
});
const KEYS = ['credential/a', 'credential/b', 'credential/c'];

function stage(table: PublishedTable, key: string, id: string | undefined): void {
  table.stage('credential', key, id === undefined ? undefined : row(id));
}

describe('the published table', () => {
  it('shows nothing of what is staged before it is published, and then all of it in one version', () => {
    const table = createPublishedTable(10);
    stage(table, 'credential/a', '1');
    stage(table, 'credential/b', '2');
    expect([table.version, table.rows.size]).toEqual([10, 0]);
    expect(table.publish()).toMatchObject({
      version: 11,
      delete: [],
      set: [['credential/a'], ['credential/b']].map((key) => expect.arrayContaining(key) as unknown),
    });
    expect([table.version, table.rows.size]).toEqual([11, 2]);
  });

  it('keeps its version when nothing differs', () => {
    const table = createPublishedTable(0);
    expect(table.publish()).toBeUndefined();
    stage(table, 'credential/a', '1');
    table.publish();
    stage(table, 'credential/a', '1');
    stage(table, 'credential/none', undefined);
    expect(table.publish()).toBeUndefined();
    expect(table.version).toBe(1);
  });

  it('forgets what was staged when it is staged back to what is published', () => {
    const table = createPublishedTable(0);
    stage(table, 'credential/a', '1');
    table.publish();
    stage(table, 'credential/a', '2');
    stage(table, 'credential/a', '1');
    stage(table, 'credential/b', '1');
    stage(table, 'credential/b', undefined);
    expect(table.publish()).toBeUndefined();
  });

  it('tells every subscriber of every version, until it leaves', () => {
    const table = createPublishedTable(0);
    const seen: TableDelta[] = [];
    const leave = table.subscribe((delta) => seen.push(delta));
    stage(table, 'credential/a', '1');
    const first = table.publish();
    leave();
    stage(table, 'credential/a', undefined);
    const second = table.publish();
    expect(seen).toEqual([first]);
    expect(second).toEqual({ version: 2, set: [], delete: ['credential/a'] });
  });

  it('is, for who follows its deltas from a snapshot at any time, the table itself', () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.tuple(fc.constantFrom(...KEYS), fc.option(fc.constantFrom('1', '2'), { nil: undefined })),
      },
      { weight: 1, arbitrary: fc.constant('publish' as const) },
      { weight: 1, arbitrary: fc.constant('follow' as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = createPublishedTable(100);
        const followers: { rows: Map<string, string>; version: number }[] = [];
        const want = new Map<string, string>();
        for (const happens of steps) {
          if (happens === 'publish') {
            table.publish();
            expect(new Map(table.rows)).toEqual(want);
          } else if (happens === 'follow') {
            const follower = { rows: new Map(table.rows), version: table.version };
            followers.push(follower);
            table.subscribe((delta) => {
              expect(delta.version).toBe(follower.version + 1);
              follower.version = delta.version;
              for (const [key, json] of delta.set) follower.rows.set(key, json);
              for (const key of delta.delete) follower.rows.delete(key);
            });
          } else {
            const [key, id] = happens;
            stage(table, key, id);
            if (id === undefined) want.delete(key);
            else want.set(key, JSON.stringify(row(id)));
          }
        }
        for (const { rows, version } of followers) {
          expect(rows).toEqual(new Map(table.rows));
          expect(version).toBe(table.version);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
