/** What the processes of a network have in use, asked through the probe that each was started with. */
import { connect } from 'node:net';
import { join } from 'node:path';

/** Once garbage is collected. */
export interface InUse {
  /** Code apart. */
  readonly heapBytes: number;
  /** Outside the heap, array buffers among them. */
  readonly bufferBytes: number;
  readonly residentBytes: number;
  /** Open files, of whatever kind. */
  readonly files: number;
  /** Those of them that are sockets. */
  readonly sockets: number;
  /** That have not fired and were not cleared, whether or not they hold the process. */
  readonly timers: number;
  /** What libuv has under way and what holds the process. */
  readonly handles: number;
  /** User and system, since the process began. */
  readonly cpuMs: number;
}

const PROBE = new URL('./probe.ts', import.meta.url).href;
const ANSWER_LIMIT_MS = 60_000;

/** For a process that is to be asked, and leaks what `plant` says (probe.ts). */
export function probed(folder: string, plant = ''): Readonly<Record<string, string>> {
  return {
    NODE_OPTIONS: `--import=${PROBE}`,
    SOAK_PROBES: folder,
    SOAK_PLANT: plant,
  };
}

/** Rejects where no such process answers. */
export function inUse(folder: string, pid: number): Promise<InUse> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(folder, `${pid}.sock`));
    let text = '';
    socket.setTimeout(ANSWER_LIMIT_MS, () =>
      socket.destroy(new Error(`process ${pid} does not say what it has in use`)),
    );
    socket.setEncoding('utf8');
    socket.on('data', (part: string) => (text += part));
    socket.on('error', reject);
    socket.on('end', () => resolve(JSON.parse(text) as InUse));
    socket.write('\n');
  });
}
