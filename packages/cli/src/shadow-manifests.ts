import type { Readable } from 'node:stream';
import type { OutputFor } from '@subcloud/sdk/client';
import { readPlaceRegistry } from '@subcloud/sdk/places';
import { type Clients, withLines } from './apply-manifests.ts';
import { planText } from './plan-text.ts';
import { readManifests } from './read-manifests.ts';

export type Shadow =
  | ({ readonly subcloud: string } & OutputFor<'putDraft'>)
  | ({ readonly subcloud: string } & OutputFor<'deleteDraft'>);

/** Stores the documents as drafts, or ends the drafts of the Subclouds that they are about. */
export async function shadowManifests(
  { client }: Clients,
  files: readonly string[],
  stdin: Readable,
  isStored: boolean,
): Promise<Shadow[]> {
  const documents = await readManifests(files, stdin, () => readPlaceRegistry(client));
  const shadows: Shadow[] = [];
  for (const document of documents) {
    const { name } = document.parsed.manifest.metadata;
    const params = { name };
    try {
      if (isStored)
        shadows.push({
          subcloud: name,
          ...(await client.call('putDraft', { params, body: { manifest: document.text } })),
        });
      else shadows.push({ subcloud: name, ...(await client.call('deleteDraft', { params })) });
    } catch (error) {
      throw withLines(document, error);
    }
  }
  return shadows;
}

export function shadowText(shadow: Shadow): string {
  if ('ended' in shadow)
    return shadow.ended ? `the draft of ${shadow.subcloud} is ended` : `${shadow.subcloud} has no draft`;
  return `the draft of ${shadow.subcloud} is stored; nothing has changed. If it were applied now:\n${planText(shadow.plan)}`;
}
