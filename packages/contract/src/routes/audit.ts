/** The audit log: to read, and to check. */
import * as z from 'zod';
import { auditEntry } from '../audit.ts';
import { publicKeyText, signedDocument } from '../documents.ts';
import { defineRoutes } from './route.ts';
import { pageOf, pageQuery, time } from './shapes.ts';

const sequence = z.int().nonnegative();
const text = z.string().min(1).max(512);

export const auditRecord = z.strictObject({
  sequence: sequence.positive(),
  hash: z.string(),
  /** JSON text, exactly as it was hashed. */
  entry: z.string(),
});
export type AuditRecord = z.infer<typeof auditRecord>;

export const sealRecord = z.strictObject({
  /** An audit-seal document, by the signing key. */
  document: signedDocument,
  /** Of that key, by the network key. */
  certificate: signedDocument,
});
export type SealRecord = z.infer<typeof sealRecord>;

export const auditHead = z.strictObject({
  networkId: z.string(),
  networkKey: publicKeyText,
  /** The newest entry; 0 where there is none. */
  sequence,
  /** The newest seal, from a file beside the keys: not from the database that it speaks for. */
  anchor: sealRecord.nullable(),
  /** Why entries are no longer sealed: what control found wrong with them. */
  broken: z.string().nullable(),
});
export type AuditHead = z.infer<typeof auditHead>;

export const auditRoutes = defineRoutes({
  listAudit: {
    method: 'get',
    path: '/api/v1/audit',
    auth: 'credential',
    action: 'audit.read',
    summary: 'Who did what, newest first',
    query: pageQuery.extend({
      actor: text.optional(),
      action: text.optional(),
      subject: text.optional(),
      request: text.optional(),
      since: time.optional(),
      until: time.optional(),
    }),
    status: 200,
    response: pageOf(auditEntry.omit({ version: true, at: true }).extend({ sequence, at: time })),
    errors: [],
  },
  getAuditHead: {
    method: 'get',
    path: '/api/v1/audit/head',
    auth: 'credential',
    action: 'audit.read',
    summary: 'The end of the audit log and its newest seal, to check what is read against',
    status: 200,
    response: auditHead,
    errors: [],
  },
  readAudit: {
    method: 'get',
    path: '/api/v1/audit/records',
    auth: 'credential',
    action: 'audit.read',
    summary: 'The audit log as it was hashed, in its order, with the seals: to export and to verify',
    query: z.strictObject({
      /** Entries after this sequence. */
      after: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
      limit: z.coerce.number().int().min(1).max(1000).default(1000),
    }),
    status: 200,
    response: z.strictObject({
      items: z.array(auditRecord),
      /** Those of the entries that are shown. */
      seals: z.array(sealRecord),
      /** The next `after`; null at the end. */
      next: sequence.nullable(),
    }),
    errors: [],
  },
});
