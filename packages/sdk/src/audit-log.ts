/**
 * The audit log as JSON lines: what an export holds, and what is verified. The last line says that it is the last, so
 * that a file that was cut is known.
 */
import { auditHead, auditRecord, sealRecord } from '@subcloud/contract/routes/audit';
import type { AuditRecord, SealRecord } from '@subcloud/contract/routes/audit';
import * as z from 'zod';
import type { Client } from './client.ts';

const FORMAT = 'subcloud-audit/v1';
const auditLine = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('log'), format: z.literal(FORMAT), head: auditHead }),
  z.strictObject({ kind: z.literal('entry'), ...auditRecord.shape }),
  z.strictObject({ kind: z.literal('seal'), ...sealRecord.shape }),
  z.strictObject({ kind: z.literal('end'), entries: z.int().nonnegative() }),
]);
export type AuditLine = z.infer<typeof auditLine>;
type EntryLine = Extract<AuditLine, { kind: 'entry' }>;
type SealLine = Extract<AuditLine, { kind: 'seal' }>;

/** Throws what the client throws. */
export async function* auditOfNetwork(client: Client): AsyncGenerator<AuditLine> {
  // The head comes first: what it names must be in what is read after it.
  yield { kind: 'log', format: FORMAT, head: await client.call('getAuditHead') };
  let entries = 0;
  for (let after: number | null = 0; after !== null; ) {
    const page: { items: AuditRecord[]; seals: SealRecord[]; next: number | null } = await client.call('readAudit', {
      query: { after },
    });
    yield* auditLines(page.items, page.seals);
    entries += page.items.length;
    after = page.next;
  }
  yield { kind: 'end', entries };
}

/** Each seal after the entry that it speaks of; what speaks of none that is there comes last. */
export function* auditLines(
  items: readonly AuditRecord[],
  seals: readonly SealRecord[],
): Generator<EntryLine | SealLine> {
  const waiting = seals.map((seal) => ({ seal, sequence: sealedSequence(seal) }));
  for (const item of items) {
    yield { kind: 'entry', ...item };
    while (waiting[0] !== undefined && waiting[0].sequence <= item.sequence) {
      yield { kind: 'seal', ...waiting[0].seal };
      waiting.shift();
    }
  }
  for (const { seal } of waiting) yield { kind: 'seal', ...seal };
}

/** What a seal says of itself, before anybody has checked it. */
function sealedSequence({ document }: SealRecord): number {
  try {
    const body: unknown = JSON.parse(document.body);
    return Number((body as { sequence?: unknown } | null)?.sequence);
  } catch {
    return Number.NaN;
  }
}

/** One line of an export, or undefined for what is none. */
export function parseAuditLine(text: string): AuditLine | undefined {
  try {
    return auditLine.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
