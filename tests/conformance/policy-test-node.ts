/** A case's node as the short form that the tests of a manifest use, where that form can say it. */
import type { Claim, FactName, NodeFacts } from '@subcloud/policy/facts';
import { type TestNode, testNode } from '@subcloud/policy/policy-test-schema';
import { NOW } from './policy-cases.ts';

/** Undefined: the short form has no words for it, for example two claims of one fact, or an expiry. */
export function asTestNode({ operator, claims, lastSeenAt }: NodeFacts): TestNode | undefined {
  if (lastSeenAt !== null || claims.some(isBeyond)) return undefined;
  const said = new Map<FactName, Claim>();
  for (const claim of claims) {
    if (claim.fact === 'audit') continue;
    if (said.has(claim.fact)) return undefined;
    said.set(claim.fact, claim);
  }
  const valueOf = (fact: FactName): never => said.get(fact)?.value as never;
  const audits = claims.filter(({ fact }) => fact === 'audit');
  const models = said.get('models');
  if (models === undefined || models.source !== 'declared') return undefined;
  const labels = said.get('labels');
  if (labels !== undefined && labels.source !== 'declared') return undefined;
  const uptime = said.get('uptime30d');
  const trust = (['trustLevel', 'reputation', 'stake'] as const).flatMap((fact) => said.get(fact) ?? []);
  if (new Set(trust.map((claim) => JSON.stringify(originOf(claim)))).size > 1) return undefined;
  const written = {
    operator,
    location: place(said.get('location'), (value: { candidates: object[] }) => value.candidates),
    operatorSeat: place(said.get('operatorSeat'), (value: object) => [value]),
    models: audited(valueOf('models'), audits),
    hardware: hardwareOf(said.get('hardware')),
    trust: trust[0] && {
      level: valueOf('trustLevel'),
      reputation: valueOf('reputation'),
      stake: valueOf('stake'),
      ...originOf(trust[0]),
    },
    labels: labels?.value,
    uptime: uptime && { d30: uptime.value, ...originOf(uptime) },
  };
  const parsed = testNode.safeParse(JSON.parse(JSON.stringify(written)));
  return parsed.success ? parsed.data : undefined;
}

function isBeyond({ expiresAt, issuedAt, confirmedAt, issuerOwner, fact, source, value }: Claim): boolean {
  const unsaid = expiresAt !== null || issuedAt !== confirmedAt || issuedAt > NOW || (issuerOwner ?? null) !== null;
  return unsaid || (fact === 'audit' && source !== 'attested') || value === null;
}

function originOf({ source, issuer, confirmedAt }: Claim): object {
  return { source, ...(source === 'attested' && { by: issuer }), age: `${NOW - confirmedAt}ms` };
}

function place<Value>(claim: Claim | undefined, placesOf: (value: Value) => readonly object[]): object | undefined {
  if (claim === undefined) return undefined;
  const places = placesOf(claim.value as Value);
  // What cannot be said makes the form refuse the node as a whole.
  return Array.isArray(places) && places.length === 1 ? { ...places[0], ...originOf(claim) } : { country: '' };
}

function audited(models: unknown, audits: readonly Claim[]): unknown {
  if (!Array.isArray(models)) return models;
  const served = new Set(models.map(({ digest }: { digest: unknown }) => digest));
  if (audits.some(({ value }) => !served.has((value as { digest: string }).digest))) return 'unsaid';
  return models.map((model: Record<string, unknown>) => ({
    ...Object.fromEntries(Object.entries(model).filter(([, value]) => value !== null)),
    audited: audits
      .filter(({ value }) => (value as { digest: string }).digest === model['digest'])
      .map(({ issuer, issuedAt }) => ({ by: issuer, age: `${NOW - issuedAt}ms` })),
  }));
}

function hardwareOf(claim: Claim | undefined): object | undefined {
  if (claim === undefined) return undefined;
  const { gpus } = claim.value as unknown as { gpus: readonly Record<string, unknown>[] };
  if (!Array.isArray(gpus)) return { gpus };
  return {
    gpus: gpus.map(({ driverName, ...device }) => ({
      ...Object.fromEntries(Object.entries(device).filter(([, value]) => value !== null)),
      ...(device['model'] === null && driverName !== '' && { driverName }),
    })),
    ...originOf(claim),
  };
}
