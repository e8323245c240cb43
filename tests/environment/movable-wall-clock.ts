/**
 * Preloaded (`--import`) into the real processes of a test: shifts the wall clock of each role by the milliseconds that stand
 * in the file of its name below WALL_CLOCK_DIR, also while it runs. The monotonic clock and timers stay as they are, as when
 * somebody sets a machine's time.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const LOOK_EVERY_MS = 25;
const ROLE = /packages\/(control|gateway|agent)\/src\/main\.ts$/;

const folder = process.env['WALL_CLOCK_DIR'];
const role = ROLE.exec(process.argv[1] ?? '')?.[1];
if (folder !== undefined && role !== undefined) moveWallClock(join(folder, role));

function moveWallClock(file: string): void {
  const RealDate = globalThis.Date;
  let offsetMs = 0;
  const look = (): void => {
    try {
      offsetMs = Number(readFileSync(file, 'utf8'));
    } catch {
      // It is being written, or not there yet.
    }
  };
  look();
  setInterval(look, LOOK_EVERY_MS).unref();
  const moved = (): number => RealDate.now() + offsetMs;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, given: [], newTarget) =>
      Reflect.construct(target, given.length === 0 ? [moved()] : given, newTarget) as object,
    apply: () => new RealDate(moved()).toString(),
    get: (target, name) => (name === 'now' ? moved : (Reflect.get(target, name) as unknown)),
  });
}
