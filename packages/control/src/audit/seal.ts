/**
 * Seals the audit log: from time to time the newest hash is signed with the network's signing key. Before it signs,
 * control follows the chain from the last seal itself, and what does not follow is never sealed. The newest seal is kept
 * in a file beside the keys too, so that cutting the end off the log and its seals off the table is seen.
 */
import { join } from 'node:path';
import { AUDIT_START } from '@subcloud/contract/audit';
import { signedDocument } from '@subcloud/contract/documents';
import type { SealRecord } from '@subcloud/contract/routes/audit';
import { chainHash, openSeal } from '@subcloud/kit/audit-chain';
import type { Clock } from '@subcloud/kit/clock';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import type { Log } from '@subcloud/kit/log';
import * as z from 'zod';
import type { Authority } from '../authority.ts';
import type { Database } from '../store/database.ts';

export const SEAL_EVERY_MS = 1_000;
/** Entries followed in one statement. */
const BATCH = 1_000;

export interface AuditSealer {
  /** Seals what is committed. Concurrent calls are one. */
  seal(): Promise<void>;
  readonly anchor: () => SealRecord | null;
  /** What does not follow, or null. While it does not, nothing more is sealed. */
  readonly broken: () => string | null;
  stop(): Promise<void>;
}

const anchorFile = z.object({ document: signedDocument, certificate: signedDocument });

export function startAuditSealer(options: {
  readonly db: Database;
  readonly authority: Authority;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
}): AuditSealer {
  const { db, authority, dataDir, clock, log } = options;
  const path = join(dataDir, 'audit-head.json');
  let anchor: SealRecord | null = readAnchor(path);
  let broken: string | null = null;
  let unsealable: string | null = null;
  let running: Promise<void> | undefined;

  const sealOnce = async (): Promise<void> => {
    const seals = await db
      .selectFrom('audit_seals')
      .select(['document', 'certificate'])
      .orderBy('sequence', 'desc')
      .limit(1)
      .executeTakeFirst();
    const last = seals === undefined ? undefined : openSeal(anchorFile.parse(seals), [authority.networkKey]);
    const from = { sequence: last?.sequence ?? 0, hash: last?.hash ?? AUDIT_START };
    const to = await follow(db, from);
    if ('fault' in to) {
      if (broken !== to.fault) log.error({ sequence: to.sequence }, `the audit log is not whole: ${to.fault}`);
      broken = to.fault;
      return;
    }
    broken = null;
    if (to.sequence === from.sequence) return;
    const seal = sealThatHolds(authority, { sequence: to.sequence, hash: to.hash, previous: from.sequence });
    if ('why' in seal) {
      if (unsealable !== seal.why) log.error({ sequence: to.sequence }, `the audit log goes on unsealed: ${seal.why}`);
      unsealable = seal.why;
      return;
    }
    unsealable = null;
    await db
      .insertInto('audit_seals')
      .values({
        sequence: to.sequence,
        document: JSON.stringify(seal.document),
        certificate: JSON.stringify(seal.certificate),
      })
      .execute();
    writeFileDurably(path, JSON.stringify(seal));
    anchor = seal;
  };
  const seal = (): Promise<void> => {
    running ??= sealOnce().finally(() => (running = undefined));
    return running;
  };
  const timer = clock.every(SEAL_EVERY_MS, () => {
    seal().catch((error: unknown) => log.error({ err: error }, 'sealing the audit log failed; it is tried again'));
  });
  return {
    seal,
    anchor: () => anchor,
    broken: () => broken,
    async stop() {
      timer.cancel();
      await running?.catch(() => undefined);
      // What was acknowledged last is sealed too, where the store still answers.
      await seal().catch((error: unknown) => log.warn({ err: error }, 'the end of the audit log is not sealed yet'));
    },
  };
}

/**
 * A seal that nobody could verify is not made: it would stand in the log for ever, and nothing could be sealed after it. The
 * entries wait, chained, until the signing key has a certificate that holds.
 */
function sealThatHolds(
  authority: Authority,
  body: Parameters<Authority['signAudit']>[0],
): SealRecord | { readonly why: string } {
  try {
    const seal = authority.signAudit(body);
    openSeal(seal, [authority.networkKey]);
    return seal;
  } catch (error) {
    return { why: error instanceof Error ? error.message : 'unknown' };
  }
}

type Followed =
  | { readonly sequence: number; readonly hash: string }
  | { readonly sequence: number; readonly fault: string };

/** The newest entry that follows from `start`, at most a few thousand further on; or the first that does not follow. */
async function follow(db: Database, start: { sequence: number; hash: string }): Promise<Followed> {
  let last = start;
  if (start.sequence > 0) {
    const row = await db.selectFrom('audit').select('hash').where('sequence', '=', start.sequence).executeTakeFirst();
    if (row?.hash !== start.hash)
      return { sequence: start.sequence, fault: `entry ${start.sequence} is not what was sealed` };
  }
  for (;;) {
    const rows = await db
      .selectFrom('audit')
      .select(['sequence', 'hash', 'entry'])
      .where('sequence', '>', last.sequence)
      .orderBy('sequence')
      .limit(BATCH)
      .execute();
    for (const { sequence, hash, entry } of rows) {
      if (sequence !== last.sequence + 1) return { sequence, fault: `entries are missing before entry ${sequence}` };
      if (chainHash(sequence, last.hash, entry) !== hash)
        return { sequence, fault: `entry ${sequence} does not follow from what stands before it` };
      last = { sequence, hash };
    }
    if (rows.length < BATCH) return last;
  }
}

function readAnchor(path: string): SealRecord | null {
  const text = readFileIfPresent(path);
  if (text === undefined) return null;
  try {
    return anchorFile.parse(JSON.parse(text));
  } catch {
    // Damaged: the next seal writes it anew, and until then verify has one thing less to go by.
    return null;
  }
}
