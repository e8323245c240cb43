/**
 * Loaded into a process before its own code (`NODE_OPTIONS=--import …`): it tells who asks what the process has in use once
 * garbage is collected. `SOAK_PROBES` is the folder of the sockets, one a process, named by pid. With `SOAK_PLANT` the
 * process leaks on purpose, so that a run can show that it would have found a leak: `gateway=heap:1024,timer:100,socket:200` keeps
 * in the gateway 1,024 bytes of each request, one timer of 100 requests and one connection of 200.
 */
import { createHook } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import { readdirSync, readlinkSync, rmSync } from 'node:fs';
import { type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread } from 'node:worker_threads';
import type { InUse } from './sampling.ts';

/** By their ids; those that hold no process are in no list of resources. */
const timers = new Set<number>();

const folder = process.env['SOAK_PROBES'];
if (isMainThread && folder !== undefined) {
  const path = join(folder, `${process.pid}.sock`);
  countTimers();
  listen(path);
  plant(process.env['SOAK_PLANT'] ?? '', path);
}

function countTimers(): void {
  createHook({
    init(id, type) {
      if (type === 'Timeout') timers.add(id);
    },
    destroy: (id) => void timers.delete(id),
    trackPromises: false,
  }).enable();
}

function listen(path: string): void {
  setFlagsFromString('--expose-gc');
  // Else functions that were not called for a while are thrown away, and compiled again.
  setFlagsFromString('--no-flush-bytecode');
  const collect = runInNewContext('gc') as () => void;
  rmSync(path, { force: true });
  createServer((socket) => {
    socket.unref().on('error', () => socket.destroy());
    // A planted connection says nothing; whoever asks writes a line.
    socket.once('data', () => void measure(collect).then((inUse) => socket.end(JSON.stringify(inUse))));
  })
    .listen(path)
    .unref();
}

async function measure(collect: () => void): Promise<InUse> {
  // What a finalizer lets go is collected by the next round.
  for (let round = 0; round < 2; round += 1) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const { external, rss } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  const files = openFiles();
  const { user, system } = process.cpuUsage();
  return {
    heapBytes: dataBytes(),
    bufferBytes: external,
    residentBytes: rss,
    files: files.length,
    sockets: files.filter((target) => target.startsWith('socket:')).length,
    timers: timers.size,
    handles: Object.values(resources).reduce((sum, count) => sum + count, 0),
    cpuMs: Math.round((user + system) / 1_000),
  };
}

/**
 * Of the heap, without what V8 made of the program's text: bytecode and machine code come and go by megabytes, whatever the
 * program keeps.
 */
function dataBytes(): number {
  return getHeapSpaceStatistics()
    .filter(({ space_name }) => !/^(?:code|trusted|read_only)/.test(space_name))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
}

function openFiles(): readonly string[] {
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      return [readlinkSync(`/proc/self/fd/${name}`)];
    } catch {
      // The one by which the folder was read.
      return [];
    }
  });
}

function plant(order: string, path: string): void {
  const [who = '', text = ''] = order.split('=');
  if (who === '' || process.argv[1]?.includes(`/${who}/src/main`) !== true) return;
  const every = new Map(text.split(',').map((part) => [part.split(':')[0] ?? '', Number(part.split(':')[1])]));
  const bytes = every.get('heap') ?? 0;
  const kept: unknown[] = [];
  let requests = 0;
  const keep = (): void => {
    requests += 1;
    // Numbers that are no small integers: eight bytes each, in the heap.
    if (bytes > 0) kept.push(Array.from({ length: bytes / 8 }, (_, index) => index + 0.5));
    if (requests % (every.get('timer') ?? Infinity) === 0) setTimeout(() => {}, 86_400_000).unref();
    if (requests % (every.get('socket') ?? Infinity) === 0) kept.push(hold(path));
  };
  subscribe('http.server.request.start', keep);
  subscribe('undici:request:create', keep);
}

function hold(path: string): Socket {
  return connect(path)
    .on('error', () => {})
    .unref();
}
