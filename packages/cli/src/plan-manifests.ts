import type { Readable } from 'node:stream';
import { readPlaceRegistry } from '@subcloud/sdk/places';
import { type Clients, withLines } from './apply-manifests.ts';
import type { Plan } from './plan-text.ts';
import { readManifests } from './read-manifests.ts';

/** A plan for each document, each as if it alone were applied. */
export async function planManifests(
  { client, ownerless }: Clients,
  files: readonly string[],
  stdin: Readable,
): Promise<Plan[]> {
  const documents = await readManifests(files, stdin, () => readPlaceRegistry(client));
  const plans: Plan[] = [];
  for (const document of documents) {
    const { parsed, text } = document;
    const { name } = parsed.manifest.metadata;
    const isOwnerless = parsed.kind === 'Subcloud' && parsed.manifest.metadata.owner === undefined;
    const by = isOwnerless ? ownerless : client;
    try {
      plans.push(await by.call('planSubcloud', { params: { name }, body: { manifest: text } }));
    } catch (error) {
      throw withLines(document, error);
    }
  }
  return plans;
}
