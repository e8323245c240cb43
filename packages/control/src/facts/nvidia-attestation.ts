/**
 * Hardware as NVIDIA's attestation service vouches for it. The evidence is made with a nonce that control gave out for one
 * node and that is bound to the node's key, so that a token of another node or of another day is worth nothing here.
 *
 * What comes back is a detached EAT bundle (RFC 9711): an overall token, and one token a device whose SHA-256 the overall
 * one carries. Names and values are those of the claims guide of NVIDIA's attestation documentation (GPU claims 3.0);
 * docs/claims.md says what of them is used. Anything unexpected is refused: nothing is half-believed.
 */
import { createHash, randomBytes } from 'node:crypto';
import { AppError } from '@subcloud/contract/errors';
import type { Clock } from '@subcloud/kit/clock';
import { gpuNameOf } from '@subcloud/policy/gpu-names';
import type { GpuFact } from '@subcloud/policy/facts';
import { type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Attestation } from './attested.ts';
import type { FetchText } from './fetch-text.ts';
import { createJwks } from './jwks.ts';

/** Who is named as the issuer of these claims. */
export const NVIDIA_ISSUER = 'nvidia';

export type NvidiaToken = readonly [readonly ['JWT', string], Readonly<Record<string, string>>];

export interface NvidiaVerifier {
  /** A nonce for evidence about this node; an earlier one stays good until it expires. */
  challenge(node: NodeKey): { readonly challenge: string; readonly nonce: string; readonly expiresAtMs: number };
  /** What the token says. Throws AppError. The challenge is spent once the token holds. */
  verify(node: NodeKey, token: NvidiaToken): Promise<NvidiaAttestation>;
}
export interface NodeKey {
  readonly id: string;
  /** Raw Ed25519 public key, base64url. */
  readonly publicKey: string;
}
export interface NvidiaAttestation extends Attestation {
  /** Device identities: one device vouches for one node. */
  readonly devices: readonly string[];
}

const CHALLENGE_VALID_MS = 600_000;
const MAX_CHALLENGES_A_NODE = 4;
const MAX_DEVICES = 64;
/** However long the token lasts. */
const CLAIM_VALID_MS = 86_400_000;
const CLOCK_TOLERANCE_S = 60;
/** Public-key signatures only; the service signs with ES384. */
const ALGORITHMS = ['ES384', 'ES256', 'RS256', 'RS384', 'PS256', 'PS384'];
const MEASUREMENTS_MATCH = ['success', 'comparison-successful'];
/** Where a device token has one of these, it has to be true. */
const CHECKS = [
  'secboot',
  'x-nvidia-gpu-arch-check',
  'x-nvidia-gpu-attestation-report-parsed',
  'x-nvidia-gpu-attestation-report-nonce-match',
  'x-nvidia-gpu-attestation-report-signature-verified',
  'x-nvidia-gpu-attestation-report-cert-chain-fwid-match',
  'x-nvidia-gpu-driver-rim-signature-verified',
  'x-nvidia-gpu-vbios-rim-signature-verified',
] as const;

export function createNvidiaVerifier(options: {
  readonly jwksUrl: string;
  readonly issuer: string;
  readonly audience: string | undefined;
  readonly fetchText: FetchText;
  readonly clock: Clock;
}): NvidiaVerifier {
  const { issuer, audience, clock } = options;
  const keys = createJwks({ url: options.jwksUrl, fetchText: options.fetchText, clock });
  const challenges = new Map<string, readonly { readonly nonce: string; readonly expiresAtMs: number }[]>();
  const outstanding = (node: string): readonly { readonly nonce: string; readonly expiresAtMs: number }[] =>
    (challenges.get(node) ?? []).filter(({ expiresAtMs }) => expiresAtMs > clock.nowMs());
  const open = (token: string): Promise<JWTPayload> =>
    openToken(token, keys, { issuer, audience, nowMs: clock.nowMs() });

  return {
    challenge({ id, publicKey }) {
      const challenge = randomBytes(32);
      const nonce = nonceOf(challenge, publicKey);
      const expiresAtMs = clock.nowMs() + CHALLENGE_VALID_MS;
      challenges.set(id, [...outstanding(id), { nonce, expiresAtMs }].slice(-MAX_CHALLENGES_A_NODE));
      return { challenge: challenge.toString('hex'), nonce, expiresAtMs };
    },
    async verify({ id }, token) {
      const [[, overallText], devices] = token;
      const overall = await open(overallText);
      const nonce = outstanding(id).find((known) => known.nonce === overall['eat_nonce'])?.nonce;
      if (nonce === undefined)
        refuse('its nonce is none that was given out for this node, or it was given out too long ago');
      if (overall['x-nvidia-overall-att-result'] !== true) refuse('its overall result is not success');
      const bundle = await openDevices(overall, devices, nonce, open);
      challenges.set(
        id,
        outstanding(id).filter((known) => known.nonce !== nonce),
      );
      const nowMs = clock.nowMs();
      const ends = [overall, ...bundle.map(({ payload }) => payload)].map(({ exp = 0 }) => exp * 1_000);
      return {
        subject: { node: id },
        fact: 'hardware',
        value: { gpus: bundle.map(({ payload }) => gpuOf(payload)) },
        issuer: NVIDIA_ISSUER,
        issuerOwner: null,
        issuedAt: nowMs,
        expiresAt: Math.min(...ends, nowMs + CLAIM_VALID_MS),
        evidence: { type: 'nvidia-eat', token, devices: bundle.map(({ device }) => device) },
        contentHash: createHash('sha256').update(`nvidia-eat\n${overallText}`).digest('hex'),
        devices: bundle.map(({ device }) => device),
      };
    },
  };
}

/** SHA-256 hex over the challenge's bytes and the node's raw public key: 32 bytes, as the service takes them. */
export function nonceOf(challenge: Buffer, publicKey: string): string {
  return createHash('sha256').update(challenge).update(Buffer.from(publicKey, 'base64url')).digest('hex');
}

async function openToken(
  token: string,
  keys: JWTVerifyGetKey,
  expected: { readonly issuer: string; readonly audience: string | undefined; readonly nowMs: number },
): Promise<JWTPayload> {
  const { issuer, audience, nowMs } = expected;
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: ALGORITHMS,
      issuer,
      ...(audience === undefined ? {} : { audience }),
      currentDate: new Date(nowMs),
      clockTolerance: CLOCK_TOLERANCE_S,
      requiredClaims: ['iss', 'exp', 'eat_nonce'],
    });
    if ((payload.exp ?? 0) * 1_000 <= nowMs) refuse('it has expired');
    return payload;
  } catch (error) {
    if (error instanceof AppError) throw error;
    return refuse(error instanceof Error ? error.message : 'it cannot be read', error);
  }
}

async function openDevices(
  overall: JWTPayload,
  tokens: Readonly<Record<string, string>>,
  nonce: string,
  open: (token: string) => Promise<JWTPayload>,
): Promise<{ readonly payload: JWTPayload; readonly device: string }[]> {
  const named = overall['submods'];
  const submods = typeof named === 'object' && named !== null ? (named as Readonly<Record<string, unknown>>) : {};
  const names = Object.keys(submods);
  if (names.length === 0 || names.length > MAX_DEVICES) refuse(`it names none, or more than ${MAX_DEVICES} devices`);
  if (Object.keys(tokens).length !== names.length) refuse('the devices that it names are not those that came with it');
  const found: { payload: JWTPayload; device: string }[] = [];
  for (const name of names) {
    const text = Object.hasOwn(tokens, name) ? tokens[name] : undefined;
    if (text === undefined || !isDigestOf(submods[name], text))
      refuse(`what it says of ${name} is not what came with it`);
    if (!name.startsWith('GPU-')) refuse(`${name} is no GPU`);
    const payload = await open(text);
    found.push({ payload, device: checkDevice(name, payload, nonce) });
  }
  if (new Set(found.map(({ device }) => device)).size !== found.length) refuse('it names one device twice');
  return found;
}

/** `["DIGEST", ["SHA-256", hex]]`, over the text of the device's token. */
function isDigestOf(submod: unknown, text: string): boolean {
  if (!Array.isArray(submod) || submod[0] !== 'DIGEST' || !Array.isArray(submod[1])) return false;
  const [algorithm, digest] = submod[1] as readonly unknown[];
  if ((algorithm !== 'SHA-256' && algorithm !== 'SHA256') || typeof digest !== 'string') return false;
  return digest.toLowerCase() === createHash('sha256').update(text).digest('hex');
}

function checkDevice(name: string, payload: JWTPayload, nonce: string): string {
  if (payload['eat_nonce'] !== nonce) refuse(`the nonce of ${name} is another one`);
  const measured = payload['measres'];
  if (typeof measured !== 'string' || !MEASUREMENTS_MATCH.includes(measured))
    refuse(`the measurements of ${name} do not match`);
  if (payload['dbgstat'] !== 'disabled') refuse(`debugging is not disabled on ${name}`);
  for (const check of CHECKS)
    if (payload[check] !== undefined && payload[check] !== true) refuse(`${name} fails ${check}`);
  const device = payload['ueid'];
  if (typeof device !== 'string' || device === '' || device.length > 256) refuse(`${name} has no identity`);
  return device;
}

/**
 * `hwmodel` is the chip (GH100), which several products share, and the token says nothing of memory: what it does not
 * say stays unknown, and is never filled in from what the agent declares.
 */
function gpuOf(payload: JWTPayload): GpuFact {
  const chip = payload['hwmodel'];
  const driverName = typeof chip === 'string' ? chip.slice(0, 256) : 'unknown';
  return { model: gpuNameOf(driverName) ?? null, driverName, vramGiB: null, confidential: true };
}

function refuse(why: string, cause?: unknown): never {
  throw new AppError('policy.claim_refused', { message: `The attestation token is refused: ${why}.`, cause });
}
