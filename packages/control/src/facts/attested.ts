/**
 * Attested claims: who may say what about whom, and how what was said gets in. A claim is a document that its attester
 * signed; it is kept with its signature, so that anybody can check it again. Whatever does not hold is refused by
 * AppError, and to whom may not know of a node it is as if there were none.
 */
import { createHash } from 'node:crypto';
import { CLAIM_VALID_AT_MOST_MS, type ClaimDocument, type SignedDocument } from '@subcloud/contract/documents';
import { AppError } from '@subcloud/contract/errors';
import { newId } from '@subcloud/kit/clock';
import { CLOCK_SLACK_MS, openDocument } from '@subcloud/kit/signing';
import type { Claim, FactName } from '@subcloud/policy/facts';
import type { PrincipalId } from '@subcloud/policy/principal';
import { NETWORK_ISSUER } from '../authority.ts';
import type { Transaction } from '../loop.ts';
import type { NodeRecord, World } from '../world/world.ts';
import { checkAttestedValue } from './attested-value.ts';
import { applyAudits, nodesServing, withAudits } from './audits.ts';
import { isSameLine } from './claims.ts';

/** What an attestation says once it has been checked, whoever made it. */
export interface Attestation {
  readonly subject: { readonly node: string } | { readonly digest: string };
  readonly fact: string;
  readonly value: unknown;
  readonly issuer: string;
  readonly issuerOwner: PrincipalId | null;
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** What was signed, as JSON. */
  readonly evidence: object;
  /** SHA-256 hex of what was signed. */
  readonly contentHash: string;
}

/** Checks a signed claim against the attesters of the world. Throws AppError. */
export function openAttestation(
  document: SignedDocument,
  { world, networkKey, nowMs }: { readonly world: World; readonly networkKey: string; readonly nowMs: number },
): Attestation {
  const { body, attester } = openClaim(document, world, networkKey);
  const refuse = (message: string): never => {
    throw new AppError('policy.claim_refused', { message });
  };
  if (body.networkId !== world.networkId) refuse('The claim is for another network.');
  if (body.issuedAt > nowMs + CLOCK_SLACK_MS) refuse('The claim is issued in the future: a clock is wrong.');
  if (body.expiresAt <= nowMs) refuse('The claim has expired.');
  if (body.expiresAt <= body.issuedAt) refuse('The claim ends before it begins.');
  if (body.expiresAt - body.issuedAt > CLAIM_VALID_AT_MOST_MS) refuse('A claim holds for at most ten years.');
  if (attester.facts !== null && !attester.facts.has(body.fact)) refuse(`${body.issuer} may not attest ${body.fact}.`);
  if ('digest' in body.subject !== (body.fact === 'audit'))
    refuse('An audit is about a digest, and every other fact about a node.');
  checkAttestedValue(body.fact, body.value, body.subject);
  if ('node' in body.subject) requireScope(world, body.subject.node, body.issuer, attester);
  return {
    subject: body.subject,
    fact: body.fact,
    value: body.value,
    issuer: body.issuer,
    issuerOwner: attester.owner,
    issuedAt: body.issuedAt,
    expiresAt: body.expiresAt,
    evidence: document,
    contentHash: contentHashOf(document),
  };
}

/** Two documents that say the same with the same signature are one. */
export function contentHashOf({ type, body, signer }: SignedDocument): string {
  return createHash('sha256').update(`${type}\n${signer}\n${body}`).digest('hex');
}

interface Scope {
  readonly owner: PrincipalId | null;
  /** Null: all. */
  readonly facts: ReadonlySet<string> | null;
  readonly operators: ReadonlySet<string> | null;
}

function openClaim(
  document: SignedDocument,
  world: World,
  networkKey: string,
): { readonly body: ClaimDocument; readonly attester: Scope } {
  // The name is read before the signature is checked, to know by which key; nothing else is.
  const issuer = issuerOf(document);
  const attester = world.attesters.get(issuer);
  const key = issuer === NETWORK_ISSUER ? networkKey : attester?.publicKey;
  const known = key !== undefined && (attester === undefined || attester.revokedAtMs === null);
  try {
    if (!known) throw new Error('no such attester');
    const body = openDocument(document, 'claim', key);
    return { body, attester: attester ?? { owner: null, facts: null, operators: null } };
  } catch (error) {
    throw new AppError('policy.claim_refused', {
      message: 'The claim is not signed by a live attester of the name that it bears.',
      cause: error,
    });
  }
}

function issuerOf(document: SignedDocument): string {
  try {
    const body: unknown = JSON.parse(document.body);
    const issuer = typeof body === 'object' && body !== null && 'issuer' in body ? body.issuer : undefined;
    return typeof issuer === 'string' ? issuer : '';
  } catch {
    return '';
  }
}

/** What an organisation's attester says is about the organisation's own nodes. One answer for no node and for none of its. */
function requireScope(world: World, node: string, issuer: string, { owner, operators }: Scope): void {
  const operator = world.nodes.get(node)?.operator;
  const inScope =
    operator !== undefined && (owner === null || owner === operator) && (operators === null || operators.has(operator));
  if (!inScope)
    throw new AppError('client.not_found', {
      message: `There is no node ${node}, or ${issuer} may not attest about it.`,
    });
}

/**
 * Stores an attestation in the place of an older one of the same issuer about the same, which is kept as superseded. The
 * same content twice is one claim, in force or revoked as it is; an older statement never replaces a newer one.
 */
export async function storeAttestation(
  tx: Transaction,
  attestation: Attestation,
  nowMs: number,
): Promise<{ readonly id: string; readonly created: boolean; readonly claim: Claim }> {
  const { subject, fact, issuer, issuerOwner } = attestation;
  const node = 'node' in subject ? subject.node : null;
  const digest = 'digest' in subject ? subject.digest : null;
  const known = await tx
    .selectFrom('claims')
    .select('id')
    .where('content_hash', '=', attestation.contentHash)
    .executeTakeFirst();
  const claim = {
    id: known?.id ?? newId('clm'),
    fact,
    value: attestation.value,
    source: 'attested',
    issuer,
    issuerOwner,
    issuedAt: attestation.issuedAt,
    confirmedAt: attestation.issuedAt,
    expiresAt: attestation.expiresAt,
  } as unknown as Claim;
  if (known !== undefined) return { id: known.id, created: false, claim };
  const earlier = await tx
    .selectFrom('claims')
    .select(({ fn }) => fn.max('issued_at').as('newest'))
    .where(node === null ? 'digest' : 'node_id', '=', node ?? digest)
    .where('fact', '=', fact)
    .where('issuer', '=', issuer)
    .where('source', '=', 'attested')
    .executeTakeFirst();
  if (earlier?.newest !== undefined && earlier.newest !== null && earlier.newest > attestation.issuedAt)
    throw new AppError('client.conflict', { message: `${issuer} has said something newer of ${fact} here.` });
  await tx
    .updateTable('claims')
    .set({ revoked_at: nowMs, revoked_by: SUPERSEDED })
    .where(node === null ? 'digest' : 'node_id', '=', node ?? digest)
    .where('fact', '=', fact)
    .where('issuer', '=', issuer)
    .where('source', '=', 'attested')
    .where('revoked_at', 'is', null)
    .execute();
  await tx
    .insertInto('claims')
    .values({
      id: claim.id,
      node_id: node,
      digest,
      fact,
      value: JSON.stringify(attestation.value),
      source: 'attested',
      issuer,
      issuer_owner: issuerOwner,
      issued_at: attestation.issuedAt,
      confirmed_at: attestation.issuedAt,
      expires_at: attestation.expiresAt,
      document: JSON.stringify(attestation.evidence),
      content_hash: attestation.contentHash,
    })
    .execute();
  return { id: claim.id, created: true, claim };
}

export const SUPERSEDED = 'superseded';

/** Puts the claim in force in memory; to be called where the store already says the same. */
export function applyAttestation(world: World, { subject }: Pick<Attestation, 'subject'>, claim: Claim): void {
  if ('digest' in subject) {
    const others = (world.audits.get(subject.digest) ?? []).filter((other) => !isSameLine(other, claim));
    applyAudits(world, subject.digest, [...others, claim]);
    return;
  }
  const node = world.nodes.get(subject.node);
  if (node === undefined) return;
  // What is said of models decides which audits are the node's.
  node.claims = withAudits(world.audits, [...node.claims.filter((other) => !isSameLine(other, claim)), claim]);
}

/** Takes claims out of force in memory; to be called where the store already says the same. */
export function applyRevocation(world: World, revoked: readonly RevokedRow[]): void {
  for (const row of revoked) {
    if (row.digest !== null) {
      const left = (world.audits.get(row.digest) ?? []).filter(({ id }) => id !== row.id);
      applyAudits(world, row.digest, left);
    }
    const node = row.node === null ? undefined : world.nodes.get(row.node);
    if (node === undefined) continue;
    node.claims = withAudits(
      world.audits,
      node.claims.filter(({ id }) => id !== row.id),
    );
  }
}

export interface RevokedRow {
  readonly id: string;
  readonly node: string | null;
  readonly digest: string | null;
}

/** What a claim of this fact changes: which audits a node has hangs on its models. */
export function factsTouched(fact: string): ReadonlySet<FactName> {
  return new Set<FactName>(fact === 'models' ? ['models', 'audit'] : [fact as FactName]);
}

/** Nodes whose facts a claim about this subject changes. */
export function nodesAbout(world: World, row: Omit<RevokedRow, 'id'>): readonly string[] {
  if (row.digest !== null) return nodesServing(world, row.digest).map(({ id }: NodeRecord) => id);
  return row.node === null ? [] : [row.node];
}
