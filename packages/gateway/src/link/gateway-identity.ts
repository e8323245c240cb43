/**
 * Who this gateway is: an id and an Ed25519 key that outlive it (0600 files), and the certificate that control signs for
 * them, renewed at half its life. Without a certificate that holds, no link is taken.
 */
import { join } from 'node:path';
import { type GatewayCertificate, type SignedDocument, type TrustChain } from '@subcloud/contract/documents';
import { WATCH_PATHS, certificateResponse, gatewayId } from '@subcloud/contract/watch';
import { type Clock, type Random, type Timer, jitteredBackoffMs, newId } from '@subcloud/kit/clock';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import type { Log } from '@subcloud/kit/log';
import {
  type SigningKey,
  exportSigningKey,
  fingerprintOf,
  generateSigningKey,
  importSigningKey,
  openChain,
  openDocument,
  openSignedByChain,
} from '@subcloud/kit/signing';
import type { ControlClient } from '../watch/control-client.ts';

export interface GatewayKeys {
  readonly id: string;
  readonly key: SigningKey;
}

/** Reads id and key from `dataDir`, or makes them. Throws when the files are damaged: a new identity is the admin's decision. */
export function loadGatewayKeys(dataDir: string): GatewayKeys {
  const keyPath = join(dataDir, 'gateway.pem');
  const idPath = join(dataDir, 'gateway.json');
  const pem = readFileIfPresent(keyPath);
  const text = readFileIfPresent(idPath);
  const key = pem === undefined ? generateSigningKey() : importSigningKey(pem);
  if (pem === undefined) writeFileDurably(keyPath, exportSigningKey(key));
  if (text !== undefined) return { id: gatewayId.parse((JSON.parse(text) as { id?: unknown }).id), key };
  const id = newId('gw');
  writeFileDurably(idPath, `${JSON.stringify({ id })}\n`);
  return { id, key };
}

export interface CertificateKeeper {
  /** The signed certificate and the chain to check it by; undefined until there is one that holds. */
  current(): { readonly certificate: SignedDocument; readonly chain: TrustChain } | undefined;
  /** Asks now: the table brought a chain, or control came back. */
  ask(): void;
  stop(): void;
}

export interface CertificateOptions {
  readonly keys: GatewayKeys;
  readonly control: ControlClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly tlsKeySha256: string | null;
  /** Where agents reach this gateway. */
  readonly url: () => string;
  readonly chain: () => TrustChain | undefined;
  readonly nowMs: () => number;
}

const RETRY_BACKOFF = { baseMs: 200, capMs: 10_000 };

export function keepCertificate(options: CertificateOptions): CertificateKeeper {
  const { clock, keys, log } = options;
  let held: { document: SignedDocument; body: GatewayCertificate } | undefined;
  let timer: Timer | undefined;
  let underWay = false;
  let stopped = false;
  let failures = 0;
  /** Whom the newest chain vouches for: it is another one after a rotation, and after a restore an older one. */
  let vouched: { readonly chain: TrustChain; readonly signers: ReadonlySet<string> } | undefined;

  const isVouchedFor = ({ signer }: SignedDocument, chain: TrustChain): boolean => {
    if (vouched?.chain !== chain) vouched = { chain, signers: signersOf(chain) };
    return vouched.signers.has(signer);
  };

  const plan = (delayMs: number): void => {
    timer?.cancel();
    if (!stopped) timer = clock.after(delayMs, ask);
  };

  const fetchOne = async (): Promise<void> => {
    const chain = options.chain();
    if (chain === undefined) throw new Error('there is no chain in the table yet');
    const answer = certificateResponse.parse(
      await options.control.post(WATCH_PATHS.certificate, {
        gateway: keys.id,
        publicKey: keys.key.publicKey,
        tlsKeySha256: options.tlsKeySha256,
        url: options.url(),
      }),
    );
    // Control is trusted for the chain; this finds a mix-up before agents do.
    const signers = openChain(chain, fingerprintOf(chain.networkKey), options.nowMs());
    const body = openSignedByChain(answer.certificate, 'gateway', signers, options.nowMs());
    if (body.publicKey !== keys.key.publicKey || body.gatewayId !== keys.id) {
      throw new Error('control certified another gateway');
    }
    held = { document: answer.certificate, body };
  };

  const ask = (): void => {
    if (underWay || stopped) return;
    underWay = true;
    fetchOne()
      .then(
        () => {
          failures = 0;
          const body = held?.body;
          if (body !== undefined) plan(Math.max(1_000, (body.notAfter - body.issuedAt) / 2));
        },
        (error: unknown) => {
          log.debug({ err: error }, 'no gateway certificate yet');
          failures += 1;
          plan(50 + jitteredBackoffMs(failures, RETRY_BACKOFF, options.random));
        },
      )
      .finally(() => {
        underWay = false;
      });
  };

  return {
    current() {
      const chain = options.chain();
      if (held === undefined || chain === undefined || held.body.notAfter <= options.nowMs()) return undefined;
      // Agents believe it by this chain alone.
      if (!isVouchedFor(held.document, chain)) return undefined;
      return { certificate: held.document, chain };
    },
    ask,
    stop() {
      stopped = true;
      timer?.cancel();
    },
  };
}

/** Fingerprints of the signing keys. A certificate that does not hold vouches for nobody. */
function signersOf(chain: TrustChain): ReadonlySet<string> {
  const signers = new Set<string>();
  for (const document of chain.signingKeys) {
    try {
      signers.add(fingerprintOf(openDocument(document, 'signing-key', chain.networkKey).publicKey));
    } catch {
      // Control is trusted for the chain, but a mistake of it ends no gateway.
    }
  }
  return signers;
}
