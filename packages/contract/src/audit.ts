/**
 * The audit log: what an entry says, and how entries are chained. An entry travels as the exact text that was hashed.
 * hash(n) = SHA-256 over `subcloud/v1/audit\n<n>\n<hash(n-1)>\n<entry n>`, from AUDIT_START on, without a gap in n; from
 * time to time the network's signing key signs the newest hash (a seal, `AuditSeal` in documents.ts).
 *
 * Versions: 1, 2026-11.
 */
import * as z from 'zod';

const text = z.string().max(512);
/** What a thing was or became, as far as it is no secret. */
const state = z.record(z.string(), z.unknown()).nullable();

export const auditEntry = z.strictObject({
  version: z.literal(1),
  /** Milliseconds since the epoch, control's clock. */
  at: z.int().nonnegative(),
  /** Of the request that did it: the answer's x-request-id. */
  requestId: text,
  /** A principal, `admin`, `anonymous`, `join-token:ID`, `control`. */
  actor: text,
  /** By which right: as the matrix of roles has it. */
  role: text,
  /** The route's action, or what control did of itself. */
  action: text,
  /** `kind:id` of what was changed. */
  subject: text,
  /** `refused`: nothing was changed. */
  outcome: z.enum(['done', 'refused']),
  /** The error code of a refusal. */
  code: text.nullable(),
  /** In the actor's words, if it gave any. */
  reason: text.nullable(),
  before: state,
  after: state,
});
export type AuditEntry = z.infer<typeof auditEntry>;

/** What stands before the first entry. */
export const AUDIT_START = '0'.repeat(64);
/** Longest entry text, in UTF-8 bytes. */
export const MAX_AUDIT_ENTRY_BYTES = 65_536;

/** The text whose SHA-256 (hex) is the hash of entry `sequence`; the database computes the same. */
export function chainedText(sequence: number, previousHash: string, entry: string): string {
  return `subcloud/v1/audit\n${sequence}\n${previousHash}\n${entry}`;
}
