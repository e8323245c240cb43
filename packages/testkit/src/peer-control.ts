/** Control as a gateway sees it, for tests of the gateway alone: the watch is scripted, everything told is kept. */
import { mkdirSync, rmSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { join } from 'node:path';
import type { TrustChain } from '@subcloud/contract/documents';
import {
  type AcknowledgeRequest,
  type CertificateRequest,
  type DecisionRecord,
  type ReportsRequest,
  type UsageRecord,
  WATCH_PATHS,
  acknowledgeRequest,
  certificateRequest,
  decisionsRequest,
  reportsRequest,
  usageRequest,
} from '@subcloud/contract/watch';
import { type SigningKey, generateSigningKey, signDocument } from '@subcloud/kit/signing';

export type Row = readonly [key: string, value: unknown];

export interface PeerControl extends AsyncDisposable {
  readonly networkKey: SigningKey;
  readonly signingKey: SigningKey;
  readonly chain: TrustChain;
  readonly acknowledged: AcknowledgeRequest[];
  readonly reports: ReportsRequest[];
  readonly usage: UsageRecord[];
  readonly decisions: DecisionRecord[];
  /** Requests that came by the socket of the API. */
  readonly apiRequests: { readonly method: string; readonly url: string; readonly headers: IncomingMessage['headers'] }[];
  version(): number;
  /** One delta with these rows; null deletes. Returns its version. */
  publish(rows: readonly (readonly [key: string, value: unknown])[]): number;
  /** Writes this text into every open watch. */
  write(text: string): void;
  /** How many watches were opened so far. */
  opened(): number;
  grantsLease: boolean;
  takesUsage: boolean;
  /** Cuts every watch. */
  cut(): void;
}

/** `dir`: where the two sockets go. */
export async function startPeerControl(dir: string): Promise<PeerControl> {
  mkdirSync(dir, { recursive: true });
  const networkKey = generateSigningKey();
  const signingKey = generateSigningKey();
  const now = Date.now();
  const networkId = 'net_test';
  const certificate = {
    version: 1 as const,
    networkId,
    publicKey: signingKey.publicKey,
    issuedAt: now - 1_000,
    notAfter: now + 86_400_000,
  };
  const chain: TrustChain = {
    networkId,
    networkKey: networkKey.publicKey,
    signingKeys: [signDocument(networkKey, 'signing-key', certificate)],
  };
  const rows = new Map<string, unknown>([['network/', { networkId, chain }]]);
  const watches = new Set<ServerResponse>();
  let version = 1;
  let opened = 0;
  let stored = 0;
  const line = (value: unknown): string => `${JSON.stringify(value)}\n`;
  const versionLines = (mode: string, set: readonly Row[], deleted: readonly string[]): string =>
    line({ type: 'begin', mode, tableVersion: version, epoch: 1 }) +
    line({ type: 'rows', set, delete: deleted }) +
    line({ type: 'commit', tableVersion: version, nowMs: Date.now() });

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '').split('?')[0];
    if (path === WATCH_PATHS.watch) {
      opened += 1;
      watches.add(response);
      response.on('close', () => watches.delete(response));
      response.writeHead(200);
      response.write(versionLines('snapshot', [...rows], []));
      return;
    }
    const body: unknown = JSON.parse(await textOf(request));
    const reply = (value: unknown): void => void response.end(JSON.stringify(value));
    switch (path) {
      case WATCH_PATHS.acknowledge:
        peer.acknowledged.push(acknowledgeRequest.parse(body));
        return reply({ lease: peer.grantsLease, leaseMs: 60_000, nowMs: Date.now() });
      case WATCH_PATHS.certificate:
        return reply({ certificate: certify(signingKey, networkId, certificateRequest.parse(body)) });
      case WATCH_PATHS.reports:
        peer.reports.push(reportsRequest.parse(body));
        return reply({});
      case WATCH_PATHS.usage:
        if (!peer.takesUsage) return void response.writeHead(503).end();
        for (const record of usageRequest.parse(body).records) {
          if (record.sequence !== stored + 1 && record.sequence > stored) return void response.writeHead(400).end();
          if (record.sequence > stored) peer.usage.push(record);
          stored = Math.max(stored, record.sequence);
        }
        return reply({ acknowledged: stored });
      case WATCH_PATHS.decisions:
        peer.decisions.push(...decisionsRequest.parse(body).records);
        return reply({});
      default:
        response.writeHead(404).end();
    }
  };
  const gateways = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(400).end(String(error)));
  });
  const api = createServer((request, response) => {
    peer.apiRequests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    request.pipe(response.writeHead(200, { 'content-type': 'text/plain', 'x-from': 'control' }));
  });
  for (const [server, name] of [
    [gateways, 'gateways.sock'],
    [api, 'api.sock'],
  ] as const) {
    rmSync(join(dir, name), { force: true });
    await new Promise<void>((resolve) => void server.listen(join(dir, name), resolve));
  }
  const peer: PeerControl = {
    networkKey,
    signingKey,
    chain,
    acknowledged: [],
    reports: [],
    usage: [],
    decisions: [],
    apiRequests: [],
    grantsLease: true,
    takesUsage: true,
    version: () => version,
    opened: () => opened,
    publish(changed) {
      version += 1;
      for (const [key, value] of changed) value === null ? rows.delete(key) : rows.set(key, value);
      const set = changed.filter(([, value]) => value !== null);
      const deleted = changed.filter(([, value]) => value === null).map(([key]) => key);
      for (const watch of watches) watch.write(versionLines('delta', set, deleted));
      return version;
    },
    write: (text) => watches.forEach((watch) => watch.write(text)),
    cut: () => watches.forEach((watch) => watch.destroy()),
    async [Symbol.asyncDispose]() {
      for (const server of [gateways, api]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
  return peer;
}

function certify(signingKey: SigningKey, networkId: string, request: CertificateRequest) {
  const now = Date.now();
  return signDocument(signingKey, 'gateway', {
    version: 1,
    networkId,
    gatewayId: request.gateway,
    publicKey: request.publicKey,
    tlsKeySha256: request.tlsKeySha256,
    pools: 'all',
    issuedAt: now,
    notAfter: now + 86_400_000,
  });
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}
