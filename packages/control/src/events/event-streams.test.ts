/** A stream whose reader takes nothing, over a real socket. */
import { type IncomingMessage, createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { silentLog } from '@subcloud/kit/log';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { testDatabase } from '@subcloud/testkit/test-database';
import { expect, test } from 'vitest';
import { openDatabase } from '../store/database.ts';
import { insertEvents } from '../store/events.ts';
import { loadWorld } from '../world/load-world.ts';
import { bootstrap } from '../bootstrap.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EventStreams, createEventStreams } from './event-streams.ts';

test('a reader that takes nothing is cut with the reason, holds up nobody, and comes back to where it was', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'streams-'));
  const { connectionString } = await testDatabase();
  const db = openDatabase(connectionString, silentLog);
  using clock = controllableClock();
  await bootstrap({ db, dataDir: folder, clock });
  const world = await loadWorld(db);
  const settled = (): Promise<void> => Promise.resolve();
  const streams = createEventStreams({ db, settled, secret: 's', world, clock, log: silentLog, held: () => true });
  const open = (response: Parameters<EventStreams['open']>[0]['response'], last: string | undefined): Promise<void> =>
    streams.open({
      response,
      headers: {},
      actor: () => ({ kind: 'admin', action: 'event.list' }),
      filter: {},
      after: last === undefined ? undefined : Number(streams.cursors.parse(last)),
    });
  const server = createServer((request, response) => void open(response, request.headers['last-event-id'] as string));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const read = async (last?: string): Promise<{ answer: IncomingMessage; text: () => string }> => {
    let received = '';
    const answer = await new Promise<IncomingMessage>((resolve) =>
      get({ port, headers: last === undefined ? {} : { 'last-event-id': last }, agent: false }, resolve),
    );
    answer.on('error', () => undefined);
    answer.on('data', (data: Buffer) => (received += data.toString()));
    await eventually('it has begun', () => received.includes('id: '));
    return { answer, text: () => received };
  };
  const COUNT = 600;
  const namesIn = (text: string): string[] => [...text.matchAll(/"reason":"(n\d+)"/g)].map(([, name]) => name ?? '');
  try {
    const slow = await read();
    slow.answer.pause();
    const quick = await read();
    const pad = 'x'.repeat(50_000);
    for (let start = 0; start < COUNT; start += 100) {
      await db.transaction().execute((tx) =>
        insertEvents(
          tx,
          Array.from({ length: 100 }, (_, index) => ({
            kind: 'principal.created' as const,
            node: null,
            subcloud: null,
            actor: 'admin',
            reason: `n${start + index}`,
            detail: { pad },
          })),
          1,
        ),
      );
      streams.poke();
    }
    const names = Array.from({ length: COUNT }, (_, index) => `n${index}`);
    await eventually('the other one has it all', () => namesIn(quick.text()).length === COUNT, 30_000);
    clock.advance(30_000);
    slow.answer.resume();
    await eventually('the last word comes', () => slow.text().includes('client.slow_reader'), 30_000);
    const had = namesIn(slow.text());
    expect(had.length).toBeLessThan(COUNT);
    const last = [...slow.text().matchAll(/^id: (\S+)$/gm)].at(-1)?.[1];
    const again = await read(last);
    await eventually('the rest comes', () => namesIn(again.text()).includes(`n${COUNT - 1}`), 30_000);
    expect([...had, ...namesIn(again.text())]).toEqual(names);
    expect(namesIn(quick.text())).toEqual(names);
    expect(quick.text()).not.toContain('event: error');
  } finally {
    streams.stop();
    server.closeAllConnections();
    server.close();
    await db.destroy();
    rmSync(folder, { recursive: true });
  }
}, 60_000);
