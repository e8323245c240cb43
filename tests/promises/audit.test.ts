/**
 * Whoever can write to the database can do anything to the audit log but sign. Here somebody does: random edits, gaps,
 * moves, forgeries and cuts, with and without hashing everything behind them anew, and none goes unseen.
 */
import { isDeepStrictEqual } from 'node:util';
import { AUDIT_START } from '@subcloud/contract/audit';
import type { AuditRecord, SealRecord } from '@subcloud/contract/routes/audit';
import { chainHash, createAuditVerifier } from '@subcloud/kit/audit-chain';
import { type SigningKey, generateSigningKey, signDocument } from '@subcloud/kit/signing';
import { auditLines } from '@subcloud/sdk/audit-log';
import fc from 'fast-check';
import { expect, test } from 'vitest';

interface LogTables {
  readonly entries: readonly AuditRecord[];
  readonly seals: readonly SealRecord[];
}
const NOW = 1_800_000_000_000;
const networkKey = generateSigningKey();
const signingKey = generateSigningKey();
const forger = generateSigningKey();

function certificateBy(key: SigningKey, of: SigningKey): SealRecord['certificate'] {
  const body = {
    version: 1,
    networkId: 'net_1',
    publicKey: of.publicKey,
    issuedAt: NOW - 1,
    notAfter: NOW + 1,
  } as const;
  return signDocument(key, 'signing-key', body);
}
const certificate = certificateBy(networkKey, signingKey);

function sealBy(key: SigningKey, of: SealRecord['certificate'], sequence: number, hash: string, previous: number) {
  const body = { version: 1, networkId: 'net_1', sequence, hash, previous, issuedAt: NOW } as const;
  return { document: signDocument(key, 'audit-seal', body), certificate: of };
}

function chained(texts: readonly string[]): AuditRecord[] {
  let previous = AUDIT_START;
  return texts.map((entry, index) => {
    previous = chainHash(index + 1, previous, entry);
    return { sequence: index + 1, entry, hash: previous };
  });
}

/** `cuts`: after which entries a seal was made; the last is always sealed. */
function sealed(texts: readonly string[], cuts: readonly number[]): LogTables {
  const entries = chained(texts);
  const at = [...new Set([...cuts.map((cut) => 1 + (cut % entries.length)), entries.length])].sort((a, b) => a - b);
  return {
    entries,
    seals: at.map((sequence, index) =>
      sealBy(signingKey, certificate, sequence, entries[sequence - 1]?.hash ?? '', at[index - 1] ?? 0),
    ),
  };
}

function entryText(actor: string, count: number): string {
  const state = { before: null, after: { count } };
  const who = { requestId: `req_${count}`, actor, role: 'admin', action: 'token.create', subject: 'token:tok_1' };
  return JSON.stringify({ version: 1, at: NOW, ...who, outcome: 'done', code: null, reason: null, ...state });
}

const anyText = fc
  .tuple(fc.constantFrom('admin', 'user:ada', 'org:acme'), fc.nat(999))
  .map((parts) => entryText(...parts));
const anyLog = fc
  .tuple(fc.array(anyText, { minLength: 2, maxLength: 20 }), fc.array(fc.nat(99), { maxLength: 4 }))
  .map(([texts, cuts]) => sealed(texts, cuts));

type Tampering = (log: LogTables, a: number, b: number) => LogTables;
const index = <Item>(items: readonly Item[], n: number): number => (items.length === 0 ? 0 : n % items.length);

const TAMPERINGS: Readonly<Record<string, Tampering>> = {
  'edit an entry': ({ entries, seals }, a) => {
    const at = index(entries, a);
    return {
      seals,
      entries: entries.map((row, i) => (i === at ? { ...row, entry: row.entry.replace('admin', 'nobody') } : row)),
    };
  },
  'edit a hash': ({ entries, seals }, a, b) => ({
    seals,
    entries: entries.map((row, i) => (i === index(entries, a) ? { ...row, hash: chainHash(b, row.hash, '') } : row)),
  }),
  'take out entries': ({ entries, seals }, a, b) => ({
    seals,
    entries: entries.filter((_, i) => i < index(entries, a) || i > index(entries, a) + (b % 3)),
  }),
  'exchange two entries': ({ entries, seals }, a, b) => {
    const [i, j] = [index(entries, a), index(entries, b)];
    const texts = entries.map(({ entry }) => entry);
    return {
      seals,
      entries: entries.map((row, at) => ({ ...row, entry: texts[at === i ? j : at === j ? i : at] ?? '' })),
    };
  },
  'exchange two numbers': ({ entries, seals }, a, b) => {
    const [i, j] = [index(entries, a), index(entries, b)];
    const number = (at: number): number => (at === i ? j : at === j ? i : at);
    const moved = entries.map((row, at) => ({ ...row, sequence: entries[number(at)]?.sequence ?? 0 }));
    return { seals, entries: moved.sort((left, right) => left.sequence - right.sequence) };
  },
  'put an entry in': ({ entries, seals }, a, b) => {
    const at = index(entries, a);
    const forged = { sequence: at + 1, entry: entryText('admin', b), hash: AUDIT_START };
    const later = entries.slice(at).map((row) => ({ ...row, sequence: row.sequence + 1 }));
    return { seals, entries: [...entries.slice(0, at), forged, ...later] };
  },
  'cut off the end with its seals': ({ entries, seals }, a) => {
    const left = entries.slice(0, index(entries, a));
    const gone = seals.findIndex(
      ({ document }) => (JSON.parse(document.body) as { sequence: number }).sequence > left.length,
    );
    return { entries: left, seals: gone === -1 ? seals : seals.slice(0, gone) };
  },
  'take out a seal': ({ entries, seals }, a) => ({ entries, seals: seals.filter((_, i) => i !== index(seals, a)) }),
  'number and hash everything anew': ({ entries, seals }) => ({
    seals,
    entries: chained(entries.map(({ entry }) => entry)),
  }),
  'forge a seal': ({ entries, seals }, a, b) => {
    const by = [forger, forger, signingKey][b % 3] ?? forger;
    const of = [certificateBy(forger, forger), certificate, certificateBy(forger, signingKey)][b % 3] ?? certificate;
    return {
      entries,
      seals: seals.map((seal, i) => {
        if (i !== index(seals, a)) return seal;
        const { sequence, previous } = JSON.parse(seal.document.body) as { sequence: number; previous: number };
        return sealBy(by, of, sequence, entries[sequence - 1]?.hash ?? AUDIT_START, previous);
      }),
    };
  },
  'edit a seal': ({ entries, seals }, a) => ({
    entries,
    seals: seals.map((seal, i) =>
      i === index(seals, a)
        ? { ...seal, document: { ...seal.document, body: seal.document.body.replace('"sequence":', '"sequence":1') } }
        : seal,
    ),
  }),
};

function verified(log: LogTables, anchor: SealRecord | undefined) {
  const verifier = createAuditVerifier([networkKey.publicKey], anchor === undefined ? [] : [anchor]);
  for (const line of auditLines(log.entries, log.seals)) {
    const { kind, ...record } = line;
    if (kind === 'entry') verifier.entry(record as AuditRecord);
    else verifier.seal(record as SealRecord);
  }
  return verifier.end();
}

test('a log as it was written is whole, and sealed to its end', () => {
  fc.assert(
    fc.property(anyLog, (log) => {
      const report = verified(log, log.seals.at(-1));
      expect(report).toEqual({
        entries: log.entries.length,
        seals: log.seals.length,
        sealedTo: log.entries.length,
        faults: [],
      });
    }),
  );
});

test('no tampering, alone or together, goes unseen', () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(
      anyLog,
      fc.array(fc.tuple(fc.constantFrom(...Object.keys(TAMPERINGS)), fc.nat(999), fc.nat(999)), {
        minLength: 1,
        maxLength: 4,
      }),
      (log, steps) => {
        let tampered = log;
        for (const [name, a, b] of steps) tampered = TAMPERINGS[name]?.(tampered, a, b) ?? tampered;
        const isSame = isDeepStrictEqual(tampered, log);
        const { faults } = verified(tampered, log.seals.at(-1));
        if (isSame) expect(faults).toEqual([]);
        else expect(faults, steps.map(([name]) => name).join(', ')).not.toEqual([]);
        if (!isSame) for (const [name] of steps) seen.set(name, (seen.get(name) ?? 0) + 1);
      },
    ),
    { numRuns: 600 },
  );
  expect([...seen.keys()].sort()).toEqual(Object.keys(TAMPERINGS).sort());
});
