import type { Readable } from 'node:stream';
import { ApiError } from '@subcloud/sdk/api-error';
import type { Client, OutputFor } from '@subcloud/sdk/client';
import * as z from 'zod';
import { readPlaceRegistry } from '@subcloud/sdk/places';
import { CliError } from './cli-error.ts';
import { failingTestsError } from './failing-tests-error.ts';
import { type ManifestDocument, faultLines, invalidManifests, readManifests } from './read-manifests.ts';
import { withdrawalText } from './withdrawal.ts';

/** What became of one document. */
export type Applied =
  | ({ readonly file: string; readonly kind: 'Subcloud' } & OutputFor<'applySubcloud'>)
  | ({ readonly file: string; readonly kind: 'Network' } & OutputFor<'applyNetwork'>);

export interface Clients {
  readonly client: Client;
  /** Applies manifests that leave their owner to the credential. */
  readonly ownerless: Client;
}

export interface ApplyLimits {
  readonly maxLeavePercent?: number;
}

/** Applies the documents in order, after all of them were found to be free of faults. Throws at the first refusal. */
export async function applyManifests(
  clients: Clients,
  files: readonly string[],
  stdin: Readable,
  limits: ApplyLimits = {},
): Promise<Applied[]> {
  const documents = await readManifests(files, stdin, () => readPlaceRegistry(clients.client));
  const applied: Applied[] = [];
  for (const document of documents) {
    try {
      applied.push(await applyOne(clients, document, limits));
    } catch (error) {
      const translated = withLines(document, error);
      if (applied.length === 0) throw translated;
      throw partly(applied, translated);
    }
  }
  return applied;
}

export function appliedText(applied: Applied): string {
  const { name, revision } = applied.subcloud;
  const what = applied.kind === 'Network' ? 'network' : `subcloud ${name}`;
  const done = `${what} ${applied.change} (revision ${revision})`;
  return applied.change === 'unchanged' ? done : withdrawalText(done, applied.withdrawal);
}

async function applyOne(
  { client, ownerless }: Clients,
  { file, text, parsed }: ManifestDocument,
  limits: ApplyLimits,
): Promise<Applied> {
  if (parsed.kind === 'Network') {
    return { file, kind: 'Network', ...(await client.call('applyNetwork', { body: { manifest: text, ...limits } })) };
  }
  const by = parsed.manifest.metadata.owner === undefined ? ownerless : client;
  const input = { params: { name: parsed.manifest.metadata.name }, body: { manifest: text, ...limits } };
  return { file, kind: 'Subcloud', ...(await by.call('applySubcloud', input)) };
}

const fault = z.object({ path: z.string(), line: z.int().nullable(), message: z.string() });
const faultDetails = z.union([z.array(fault), z.object({ errors: z.array(fault) }).transform(({ errors }) => errors)]);

/** Control may know more than the parser here: its faults are shown with the same file and line. */
export function withLines(document: ManifestDocument, error: unknown): unknown {
  if (error instanceof ApiError && error.code === 'config.failing_tests') return failingTestsError(error);
  if (!(error instanceof ApiError) || error.code !== 'config.invalid_manifest') return error;
  const faults = faultDetails.safeParse(error.details);
  return faults.success && faults.data.length > 0 ? invalidManifests(faultLines(document, faults.data)) : error;
}

function partly(applied: readonly Applied[], error: unknown): unknown {
  const done = applied.map(appliedText).join('\n  ');
  if (error instanceof CliError || error instanceof ApiError) {
    return new CliError({
      code: error.code as `client.${string}`,
      message: `${error.message}\nBefore that, these were applied:\n  ${done}`,
      next: error instanceof CliError ? error.next : error.advice,
      details: error.details,
      cause: error,
    });
  }
  return error;
}
