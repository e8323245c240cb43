/** Control as a gateway sees it, for tests of the gateway alone: the watch is scripted, everything told is kept. */
import { mkdirSync, rmSync } from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { join } from 'node:path';
import type { TrustChain } from '@subcloud/contract/documents';
import {
  type AcknowledgeRequest,
  type CertificateRequest,
  type DayUsageResponse,
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
  readonly apiRequests: {
    readonly method: string;
    readonly url: string;
    readonly headers: IncomingMessage['headers'];
  }[];
  version(): number;
  /** One delta with these rows; null deletes. Returns its version. */
  publish(rows: readonly (readonly [key: string, value: unknown])[]): number;
  /** Writes this text into every open watch. */
  write(text: string): void;
  /** How many watches were opened so far. */
  opened(): number;
  grantsLease: boolean;
  /** Of the limits; all of them from the start. */
  share: { readonly lo: number; readonly hi: number; readonly idleMs: number };
  dayUsage: DayUsageResponse['used'];
  takesUsage: boolean;
  /** Cuts every watch. */
  cut(): void;
}

/** `dir`: where the two sockets go. */
export async function startPeerControl(dir: string): Promise<PeerControl> {
  mkdirSync(dir, { recursive: true });
  const control = new ScriptedControl();
  const gateways = createServer((request, response) => {
    control.answer(request, response).catch((error: unknown) => response.writeHead(400).end(String(error)));
  });
  const api = createServer((request, response) => {
    control.apiRequests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    request.pipe(response.writeHead(200, { 'content-type': 'text/plain', 'x-from': 'control' }));
  });
  for (const [server, name] of [
    [gateways, 'gateways.sock'],
    [api, 'api.sock'],
  ] as const) {
    rmSync(join(dir, name), { force: true });
    await new Promise<void>((resolve) => void server.listen(join(dir, name), resolve));
    control.servers.push(server);
  }
  return control;
}

const line = (value: unknown): string => `${JSON.stringify(value)}\n`;

class ScriptedControl implements PeerControl {
  readonly networkKey = generateSigningKey();
  readonly signingKey = generateSigningKey();
  readonly chain: TrustChain;
  readonly acknowledged: AcknowledgeRequest[] = [];
  readonly reports: ReportsRequest[] = [];
  readonly usage: UsageRecord[] = [];
  readonly decisions: DecisionRecord[] = [];
  readonly apiRequests: PeerControl['apiRequests'] = [];
  readonly servers: Server[] = [];
  readonly #rows = new Map<string, unknown>();
  readonly #watches = new Set<ServerResponse>();
  #version = 1;
  #opened = 0;
  #stored = 0;
  grantsLease = true;
  share = { lo: 0, hi: 1, idleMs: 86_400_000 };
  dayUsage: DayUsageResponse['used'] = [];
  takesUsage = true;

  constructor() {
    const now = Date.now();
    const certificate = {
      version: 1 as const,
      networkId: NETWORK_ID,
      publicKey: this.signingKey.publicKey,
      issuedAt: now - 1_000,
      notAfter: now + 86_400_000,
    };
    this.chain = {
      networkId: NETWORK_ID,
      networkKey: this.networkKey.publicKey,
      signingKeys: [signDocument(this.networkKey, 'signing-key', certificate)],
    };
    this.#rows.set('network/', { networkId: NETWORK_ID, chain: this.chain });
  }

  version = (): number => this.#version;
  opened = (): number => this.#opened;
  write = (text: string): void => this.#watches.forEach((watch) => watch.write(text));
  cut = (): void => this.#watches.forEach((watch) => watch.destroy());

  publish = (changed: readonly Row[]): number => {
    this.#version += 1;
    for (const [key, value] of changed) {
      if (value === null) this.#rows.delete(key);
      else this.#rows.set(key, value);
    }
    const set = changed.filter(([, value]) => value !== null);
    const deleted = changed.filter(([, value]) => value === null).map(([key]) => key);
    this.write(this.#lines('delta', set, deleted));
    return this.#version;
  };

  #lines(mode: string, set: readonly Row[], deleted: readonly string[]): string {
    return (
      line({ type: 'begin', mode, tableVersion: this.#version, epoch: 1 }) +
      line({ type: 'rows', set, delete: deleted }) +
      line({ type: 'commit', tableVersion: this.#version, nowMs: Date.now() })
    );
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path: string = (request.url ?? '').split('?')[0] ?? '';
    if (path === WATCH_PATHS.watch) return this.#watch(response);
    const body: unknown = JSON.parse(await textOf(request));
    const reply = (value: unknown): void => void response.end(JSON.stringify(value));
    switch (path) {
      case WATCH_PATHS.acknowledge:
        this.acknowledged.push(acknowledgeRequest.parse(body));
        return reply({ lease: this.grantsLease, leaseMs: 60_000, nowMs: Date.now(), share: this.share });
      case WATCH_PATHS.certificate:
        return reply({ certificate: certify(this.signingKey, NETWORK_ID, certificateRequest.parse(body)) });
      case WATCH_PATHS.reports:
        this.reports.push(reportsRequest.parse(body));
        return reply({});
      case WATCH_PATHS.usage:
        if (!this.takesUsage) return void response.writeHead(503).end();
        return reply({ acknowledged: this.#store(usageRequest.parse(body).records) });
      case WATCH_PATHS.dayUsage:
        return reply({ used: this.dayUsage });
      case WATCH_PATHS.decisions:
        this.decisions.push(...decisionsRequest.parse(body).records);
        return reply({});
      default:
        response.writeHead(404).end();
    }
  }

  #watch(response: ServerResponse): void {
    this.#opened += 1;
    this.#watches.add(response);
    response.on('close', () => this.#watches.delete(response));
    response.writeHead(200);
    response.write(this.#lines('snapshot', [...this.#rows], []));
  }

  /** As control does: known ones are skipped, a gap is refused. */
  #store(records: readonly UsageRecord[]): number {
    for (const record of records) {
      if (record.sequence > this.#stored + 1) throw new Error('the sequence has a gap');
      if (record.sequence > this.#stored) this.usage.push(record);
      this.#stored = Math.max(this.#stored, record.sequence);
    }
    return this.#stored;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
}

const NETWORK_ID = 'net_test';

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
