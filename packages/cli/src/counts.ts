/** `active: 3, suspended: 1`, largest first; empty for no counts. */
export function counts(byName: Readonly<Record<string, number>>): string {
  return Object.entries(byName)
    .toSorted(([a, left], [b, right]) => right - left || a.localeCompare(b))
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ');
}

/** `1 entry`, `2 entries`. */
export function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
