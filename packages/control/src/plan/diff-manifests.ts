/**
 * What two manifests say differently, by path. Lists of words are sets, since their order means nothing in a manifest;
 * lists of entries are compared by `id` or `name`, so that an entry that moved is not told as changed.
 */
import { canonicalJson } from '@subcloud/policy/canonical-json';

export interface Difference {
  readonly path: string;
  readonly kind: 'added' | 'removed' | 'changed';
  readonly before: unknown;
  readonly after: unknown;
}

/** In the order of the paths. Both sides are plain JSON; undefined stands for a manifest that is not there. Total. */
export function diffManifests(before: unknown, after: unknown): Difference[] {
  const differences: Difference[] = [];
  compare('', before, after, differences);
  return differences.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function compare(path: string, before: unknown, after: unknown, into: Difference[]): void {
  if (
    canonicalJson(before ?? null) === canonicalJson(after ?? null) &&
    (before === undefined) === (after === undefined)
  )
    return;
  if (isRecord(before) && isRecord(after)) return compareKeys(path, before, after, into, (key) => dotted(path, key));
  if (Array.isArray(before) && Array.isArray(after)) return compareLists(path, before, after, into);
  if (before === undefined && isRecord(after)) return compareKeys(path, {}, after, into, (key) => dotted(path, key));
  if (after === undefined && isRecord(before)) return compareKeys(path, before, {}, into, (key) => dotted(path, key));
  const kind = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  into.push({ path, kind, before: before ?? null, after: after ?? null });
}

function compareKeys(
  path: string,
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
  into: Difference[],
  pathOf: (key: string) => string,
): void {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  // An empty map that comes or goes has no key to tell it by.
  if (keys.size === 0) into.push({ path, kind: 'changed', before, after });
  for (const key of keys) {
    compare(pathOf(key), own(before, key), own(after, key), into);
  }
}

function compareLists(path: string, before: readonly unknown[], after: readonly unknown[], into: Difference[]): void {
  const [named, alsoNamed] = [byName(before), byName(after)];
  if (named !== undefined && alsoNamed !== undefined)
    return compareKeys(path, named, alsoNamed, into, (key) => `${path}[${key}]`);
  if ([...before, ...after].every((entry) => entry === null || typeof entry !== 'object')) {
    const [had, has] = [new Set(before), new Set(after)];
    const removed = [...had].filter((entry) => !has.has(entry));
    const added = [...has].filter((entry) => !had.has(entry));
    for (const entry of removed) into.push({ path: `${path}[]`, kind: 'removed', before: entry, after: null });
    for (const entry of added) into.push({ path: `${path}[]`, kind: 'added', before: null, after: entry });
    return;
  }
  const length = Math.max(before.length, after.length);
  for (let index = 0; index < length; index++) compare(`${path}[${index}]`, before[index], after[index], into);
}

/** Entries by their id or name; undefined where one has none, or two have the same. */
function byName(entries: readonly unknown[]): Record<string, unknown> | undefined {
  const named: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const entry of entries) {
    if (!isRecord(entry)) return undefined;
    const name = own(entry, 'id') ?? own(entry, 'name');
    if (typeof name !== 'string' || Object.hasOwn(named, name)) return undefined;
    named[name] = entry;
  }
  return named;
}

function dotted(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function own(record: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
