/** A soak for people: a line a sample, and a table with a small plot of each series. */
import type { Load } from './load.ts';
import type { Soaked } from './soak.ts';
import type { Line, Measure, Sample } from './verdict.ts';

const MIB = 1_048_576;
const BARS = '▁▂▃▄▅▆▇█';
const PLOT_WIDTH = 40;

export function progress({ requests, inUse }: Sample, load: Load, startedMs: number): string {
  const heaps = [...inUse].map(([part, { heapBytes }]) => `${part} ${(heapBytes / MIB).toFixed(1)}`);
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  return `${seconds} s, ${requests} requests, ${load.abandoned} left, ${load.faultCount} faults; heap MiB: ${heaps.join(', ')}`;
}

/** Each series from its least to its most value, so that the shape shows whatever the level is. */
export function sparkline(values: readonly number[]): string {
  const size = Math.max(1, Math.ceil(values.length / PLOT_WIDTH));
  const means: number[] = [];
  for (let at = 0; at < values.length; at += size) {
    const part = values.slice(at, at + size);
    means.push(part.reduce((sum, value) => sum + value, 0) / part.length);
  }
  const [least, most] = [Math.min(...means), Math.max(...means)];
  const level = (value: number): number => (most === least ? 0 : Math.round(((value - least) / (most - least)) * 7));
  return means.map((value) => BARS[level(value)] ?? '').join('');
}

export function table({ lines }: Pick<Soaked, 'lines'>): string {
  return lines
    .filter(
      ({ measure, verdict }) =>
        verdict !== 'flat' || measure === 'heapBytes' || measure === 'sockets' || measure === 'timers',
    )
    .map(row)
    .join('\n');
}

function row({ part, measure, values, grown, atLeast, atMost, allowed, verdict }: Line): string {
  const show = (value: number): string => shown(measure, value);
  const ends = `${show(values[0] ?? 0)} → ${show(values.at(-1) ?? 0)}`;
  const grew = `${show(grown)} (${show(atLeast)} to ${show(atMost)}) of ${show(allowed)}`;
  return `${part.padEnd(13)} ${measure.padEnd(11)} ${sparkline(values).padEnd(PLOT_WIDTH)} ${ends.padEnd(18)} grew ${grew.padEnd(36)} ${verdict}`;
}

function shown(measure: Measure, value: number): string {
  return measure.endsWith('Bytes') ? `${(value / MIB).toFixed(2)}` : `${Math.round(value * 10) / 10}`;
}
