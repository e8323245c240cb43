const AT_ONCE = 500;

/** Work on each of many, some at a time: between two parts requests get a turn of the loop. The first part is done at once. */
export function inTurns<Item>(items: readonly Item[], work: (item: Item) => void): void {
  for (const item of items.slice(0, AT_ONCE)) work(item);
  if (items.length > AT_ONCE) setImmediate(() => inTurns(items.slice(AT_ONCE), work));
}
