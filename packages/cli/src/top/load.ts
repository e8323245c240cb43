import type { Client } from '@subcloud/sdk/client';

export type Load = Awaited<ReturnType<typeof readLoad>>;

export async function readLoad(client: Client) {
  return client.call('getLoad', {});
}
