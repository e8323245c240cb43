/** The one way into the audit log. The database chains what is inserted (migration 0005). */
import { createHash } from 'node:crypto';
import { type AuditEntry, MAX_AUDIT_ENTRY_BYTES } from '@subcloud/contract/audit';
import { SECRET_PREFIXES } from '@subcloud/kit/secrets';
import type { Kysely } from 'kysely';
import type { Schema } from '../store/schema.ts';

const CREDENTIAL = new RegExp(`(${Object.values(SECRET_PREFIXES).join('|')})_[\\w-]{8,}`, 'g');

export type NewAuditEntry = Omit<AuditEntry, 'version'>;

/**
 * Appends one entry in the transaction that makes the change. Make it the last statement: the transaction holds the end
 * of the log from here to its commit.
 */
export async function appendAudit(tx: Kysely<Schema>, entry: NewAuditEntry): Promise<void> {
  await tx
    .insertInto('audit')
    .values({ entry: entryText(entry) })
    .execute();
}

/** At most MAX_AUDIT_ENTRY_BYTES: a state that is larger stands there as its hash. */
export function entryText(entry: NewAuditEntry): string {
  const whole: AuditEntry = {
    version: 1,
    ...entry,
    subject: entry.subject.slice(0, 512),
    reason: entry.reason?.slice(0, 512) ?? null,
  };
  const text = JSON.stringify(whole, storable);
  if (Buffer.byteLength(text) <= MAX_AUDIT_ENTRY_BYTES) return text;
  return JSON.stringify({ ...whole, before: digested(whole.before), after: digested(whole.after) }, storable);
}

function digested(state: AuditEntry['before']): AuditEntry['before'] {
  if (state === null) return null;
  const text = JSON.stringify(state);
  return { bytes: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') };
}

/**
 * PostgreSQL stores neither U+0000 nor half a surrogate pair. And whatever is shaped like a credential stands there by
 * mistake (somebody pasted a key where an id belongs): its prefix alone is kept.
 */
function storable(_key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return value.toWellFormed().replaceAll('\0', '\ufffd').replace(CREDENTIAL, '$1_[redacted]');
}
