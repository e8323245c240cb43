import type { ControlRouteName } from '@subcloud/contract/routes/control';
import { ConnectionError } from './api-error.ts';
import type { Client, InputOf, OutputFor } from './client.ts';

/** Routes that answer in pages. */
export type PagedRoute = {
  [Name in ControlRouteName]: OutputFor<Name> extends { items: readonly unknown[]; next: string | null } ? Name : never;
}[ControlRouteName];
type ItemOf<Name extends PagedRoute> = OutputFor<Name>['items'][number];

const MAX_PAGES = 1_000;

/** All items of a paged route, one after the other; a page is asked for when the one before is used up. */
export async function* eachItem<Name extends PagedRoute>(
  client: Client,
  name: Name,
  input?: InputOf<Name>,
): AsyncGenerator<ItemOf<Name>> {
  type Loose = { call(name: string, input: unknown): Promise<{ items: ItemOf<Name>[]; next: string | null }> };
  const given = (input ?? {}) as { readonly query?: Readonly<Record<string, unknown>> };
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const query: Record<string, unknown> = { ...given.query, ...(cursor === null ? {} : { cursor }) };
    const answer = await (client as unknown as Loose).call(name, { ...given, query });
    yield* answer.items;
    if (answer.next === null) return;
    cursor = answer.next;
  }
  throw new ConnectionError('unexpected_answer', `${name} answered with more than ${MAX_PAGES} pages`);
}

/** All items of a paged route. */
export async function listAll<Name extends PagedRoute>(
  client: Client,
  name: Name,
  input?: InputOf<Name>,
): Promise<ItemOf<Name>[]> {
  const items: ItemOf<Name>[] = [];
  for await (const item of eachItem(client, name, input)) items.push(item);
  return items;
}
