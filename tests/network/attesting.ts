/** What tests of claims do to a network: attesters, signed claims and drafts, pools that ask for them. */
import type { ClaimDocument, SignedDocument } from '@subcloud/contract/documents';
import { type SigningKey, generateSigningKey, signDocument } from '@subcloud/kit/signing';
import type { Client, OutputFor } from '@subcloud/sdk/client';
import type { TestNetwork, TestNode } from '@subcloud/testkit/test-network';

export const HOUR_MS = 3_600_000;

export interface Attester {
  readonly name: string;
  readonly key: SigningKey;
}
interface Said {
  readonly subject: ClaimDocument['subject'];
  readonly fact: string;
  readonly value: unknown;
}

export interface Attesting {
  attester(
    name: string,
    facts: readonly string[],
    options?: { readonly by?: Client; readonly nodes?: readonly string[] },
  ): Promise<Attester>;
  sign(attester: Attester, claim: Said, over?: Partial<ClaimDocument>): SignedDocument;
  post(document: SignedDocument, client?: Client): Promise<OutputFor<'createClaim'>>;
  /** For the network to sign. */
  draft(about: TestNode, fact: string, value: unknown, forMs?: number): Promise<OutputFor<'createClaim'>>;
  revoke(id: string): Promise<OutputFor<'revokeClaim'>>;
  /** An open, auto-joining Subcloud. */
  pool(name: string, nodes: object, more?: { readonly owner?: string; readonly models?: object }): Promise<void>;
  standing(name: string, about: TestNode): Promise<{ state: string | null; reason: string; seen: string }>;
}

export async function attestingIn(network: TestNetwork): Promise<Attesting> {
  const networkId = (await network.admin.call('network', {})).id;
  return {
    async attester(name, facts, { by = network.admin, nodes } = {}) {
      const key = generateSigningKey();
      const body = { name, publicKey: key.publicKey, facts, ...(nodes === undefined ? {} : { nodes }) };
      await by.call('createAttester', { body: body as never });
      return { name, key };
    },
    sign({ name, key }, claim, over = {}) {
      const issuedAt = network.clock.nowMs();
      const expiresAt = issuedAt + 365 * 24 * HOUR_MS;
      const body = { version: 1, networkId, issuer: name, ...claim, issuedAt, expiresAt, ...over };
      return signDocument(key, 'claim', body as ClaimDocument);
    },
    post: (document, client = network.admin) => client.call('createClaim', { body: { document } }),
    draft: (about, fact, value, forMs = 365 * 24 * HOUR_MS) =>
      network.admin.call('createClaim', {
        body: {
          draft: {
            subject: { node: about.id },
            fact: fact as 'operatorSeat',
            value,
            expiresAt: new Date(network.clock.nowMs() + forMs).toISOString(),
          },
        },
      }),
    revoke: (id) => network.admin.call('revokeClaim', { params: { id } }),
    async pool(name, nodes, { owner = 'user:admin', models = {} } = {}) {
      await network.apply({
        apiVersion: 'subcloud/v1',
        kind: 'Subcloud',
        metadata: { name, owner },
        spec: { models, nodes, participation: { mode: 'open', autoJoin: true } },
      });
    },
    async standing(name, about) {
      const found = await network.admin.call('explainNode', { params: { name, node: about.id } });
      const failing = found.clauses.find(({ pass }) => !pass);
      return { state: found.state, reason: found.reason, seen: failing?.seen ?? '' };
    },
  };
}

export function seat(country: string, about: TestNode): Said {
  return { subject: { node: about.id }, fact: 'operatorSeat', value: { country } };
}

/** What a call was refused with; throws when it was not. */
export async function refusal(promise: Promise<unknown>): Promise<{ code: string; status: number; message: string }> {
  try {
    await promise;
  } catch (error) {
    const { code, status, message } = error as { code: string; status: number; message: string };
    return { code, status, message };
  }
  throw new Error('it was not refused');
}
