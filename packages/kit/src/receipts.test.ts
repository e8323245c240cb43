/** What a receipt of honest halves accuses nobody of, and what it proves: every pair of endings that can happen. */
import type { DocumentType, DocumentBody } from '@subcloud/contract/documents';
import type { Receipt, ReceiptHalf, RoutingHalf, ServingHalf } from '@subcloud/contract/receipts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { saltedHash } from './receipt-parts.ts';
import { treeRoot } from './receipt-tree.ts';
import { verifyReceipt } from './receipts.ts';
import { type SigningKey, certifySigningKey, generateSigningKey, signDocument } from './signing.ts';

const AT_MS = 1_000_000;
const SALT = 'ab'.repeat(16);
const NETWORK = 'net_test';
const [networkKey, signingKey, gatewayKey, poolKey] = Array.from({ length: 4 }, () => generateSigningKey()) as [
  SigningKey,
  SigningKey,
  SigningKey,
  SigningKey,
];
const of = { version: 1, networkId: NETWORK, issuedAt: AT_MS } as const;
const vouched = <Type extends DocumentType>(type: Type, body: DocumentBody<Type>) =>
  signDocument(signingKey, type, body);
const signingKeyDocument = certifySigningKey(
  networkKey,
  { networkId: NETWORK, publicKey: signingKey.publicKey },
  AT_MS,
);

function half(key: SigningKey, certificate: ReceiptHalf['certificate'], said: object): ReceiptHalf {
  const leaf = JSON.stringify(said);
  const batch = signDocument(key, 'receipt-batch', { ...of, count: 1, root: treeRoot([leaf]) });
  const { publicKey } = networkKey;
  return { leaf, index: 0, path: [], batch, certificate, signingKey: signingKeyDocument, networkKey: publicKey };
}

const gatewayCertificate = vouched('gateway', {
  ...of,
  gatewayId: 'gtw_one',
  publicKey: gatewayKey.publicKey,
  tlsKeySha256: null,
  pools: 'all',
  notAfter: AT_MS + 1_000,
});

function receipt(routed: Partial<RoutingHalf>, served: Partial<ServingHalf>): Receipt {
  const both = { version: 1, requestId: 'req_1', pool: 'lab', model: 'm', tableVersion: 1, atMs: AT_MS } as const;
  const counts = { promptTokens: 1, completionTokens: 1, estimated: false, status: 200, durationMs: 5 };
  const nothing = saltedHash(SALT, Buffer.alloc(0));
  const routing: RoutingHalf = {
    ...both,
    ...counts,
    revision: 1,
    effectiveHash: 'e',
    node: 'last',
    earlierNodes: 0,
    request: 'same',
    answer: null,
    ...routed,
  };
  const hashes = { digest: null, request: nothing, answer: nothing, answerBytes: 0 };
  const serving: ServingHalf = { ...both, ...hashes, status: 200, durationMs: 5, ...served };
  const key = vouched('receipt-key', { ...of, pool: 'lab', node: 'last', publicKey: poolKey.publicKey });
  return {
    requestId: 'req_1',
    networkId: NETWORK,
    routing: half(gatewayKey, gatewayCertificate, routing),
    serving: half(poolKey, key, serving),
  };
}

const told = (text: string): string => `data: ${JSON.stringify({ choices: [{ delta: { content: text } }] })}\n\n`;
const ended = { broken: true } as const;

test('a node that broke off after all of an answer was there is accused of nothing', () => {
  fc.assert(
    fc.property(fc.string(), fc.boolean(), fc.boolean(), fc.boolean(), (text, isStream, nodeBroke, gatewayBroke) => {
      const answer = Buffer.from(isStream ? `${told(text)}data: [DONE]\n\n` : JSON.stringify({ text }));
      const hashed = saltedHash(SALT, answer);
      const whole = { answer: isStream ? hashed : null };
      const report = verifyReceipt(
        receipt(gatewayBroke ? ended : whole, {
          answer: hashed,
          answerBytes: answer.byteLength,
          ...(nodeBroke ? ended : {}),
        }),
        networkKey.fingerprint,
        { salt: SALT, answer },
      );
      expect(report).toMatchObject({ faults: [], answer: gatewayBroke ? 'not checked' : 'same' });
    }),
    { numRuns: 100 },
  );
});

test('of an internal API the gateway relays the end itself: that its node broke off an answer that ended contradicts it', () => {
  const faults = (routed: object, served: object): readonly string[] =>
    verifyReceipt(receipt({ model: 'api:rag', ...routed }, { model: 'api:rag', ...served }), networkKey.fingerprint)
      .faults;
  expect(faults({}, ended)).toEqual(['the node broke off an answer that ended well']);
  for (const served of [{}, ended]) expect(faults(ended, served)).toEqual([]);
  expect(faults({}, {})).toEqual([]);
});

test('the text of parts is compared where the answer is whole, and not where its caller left before all of it came', () => {
  fc.assert(
    fc.property(fc.array(fc.string(), { minLength: 2, maxLength: 4 }), fc.nat(), fc.boolean(), (texts, cut, broken) => {
      const all = texts.join('');
      const kept = Array.from(all)
        .slice(0, cut % (all.length + 1))
        .join('');
      const parts = texts.map((text) => ({
        node: 'last',
        text: saltedHash(SALT, Buffer.from(text)),
        textBytes: Buffer.byteLength(text),
        received: saltedHash(SALT, Buffer.alloc(0)),
        receivedBytes: 0,
      }));
      const isWhole = Buffer.from(kept).equals(Buffer.from(all));
      const { faults, parts: checked } = verifyReceipt(
        receipt({ parts, ...(broken ? ended : {}) }, {}),
        networkKey.fingerprint,
        { salt: SALT, answer: Buffer.from(told(kept)) },
      );
      expect(checked).toBe(broken ? 'not checked' : isWhole ? 'same' : 'differs');
      expect(faults.includes('the text is not what its nodes said one after the other')).toBe(!broken && !isWhole);
    }),
    { numRuns: 100 },
  );
});
