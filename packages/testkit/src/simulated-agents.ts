/**
 * Agents by the thousand in one process: the real link code, keys, documents and declarations, each with a key that its
 * number makes, and nothing on disk. Instead of an engine each answers with one sentence.
 */
import { createHash, createPrivateKey } from 'node:crypto';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { createControlTime } from '@subcloud/agent/control-time';
import { type GatewayLink, startGatewayLink } from '@subcloud/agent/link/gateway-link';
import { createGatewayRegistry } from '@subcloud/agent/link/gateway-registry';
import { createCurrentDocument } from '@subcloud/agent/state/current-document';
import type { NodeState, NodeStateStore } from '@subcloud/agent/state/node-state';
import type { NodeDeclaration } from '@subcloud/contract/documents';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { silentLog } from '@subcloud/kit/log';
import { type SigningKey, importSigningKey, signDocument } from '@subcloud/kit/signing';

export const SIMULATED_MODEL = 'simulated/model';

const START_EVERY_MS = 20;

/** PKCS#8 of an Ed25519 key, up to its 32 bytes (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The same key in every process: one for each number. For nothing but simulated nodes. */
export function simulatedKey(index: number): SigningKey {
  const seed = createHash('sha256').update(`simulated node ${index}`).digest();
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' });
  return importSigningKey(key.export({ format: 'pem', type: 'pkcs8' }).toString());
}

export function simulatedNodeId(index: number): string {
  return `nod_simulated${index.toString(36)}`;
}

/** A loopback address for each, so that no limit for one address stands for the fleet. */
export function simulatedAddress(index: number): string {
  return `127.${1 + ((index >> 16) & 63)}.${(index >> 8) & 255}.${((index & 255) % 254) + 1}`;
}

export interface SimulatedAgentsOptions {
  readonly url: string;
  readonly networkId: string;
  /** Of the network key, hex. */
  readonly fingerprint: string;
  /** Numbers from `first` on. */
  readonly first: number;
  readonly count: number;
  readonly operator: NodeState['operator'];
  readonly consent: NodeDeclaration['consent'];
  /** They begin to dial over so long, one after the other: machines of many operators do not start in one moment. */
  readonly overMs: number;
}

export interface SimulatedAgents extends AsyncDisposable {
  linked(): number;
  /** Requests that were answered, over all agents. */
  answered(): number;
  stop(): Promise<void>;
}

export function startSimulatedAgents(options: SimulatedAgentsOptions): SimulatedAgents {
  let answered = 0;
  const onAnswer = (): void => void (answered += 1);
  const links: GatewayLink[] = [];
  let stopped = false;
  const startedMs = systemClock.monotonicMs();
  const startMore = (): void => {
    if (stopped) return;
    const share = options.overMs === 0 ? 1 : (systemClock.monotonicMs() - startedMs) / options.overMs;
    const due = Math.min(options.count, Math.ceil(options.count * share));
    while (links.length < due) links.push(startAgent(options, options.first + links.length, onAnswer));
    if (links.length < options.count) systemClock.after(START_EVERY_MS, startMore);
  };
  startMore();
  const stop = async (): Promise<void> => {
    stopped = true;
    await Promise.all(links.map((link) => link.stop()));
  };
  return {
    linked: () => links.filter(({ linked }) => linked).length,
    answered: () => answered,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function startAgent(options: SimulatedAgentsOptions, index: number, onAnswer: () => void): GatewayLink {
  const key = simulatedKey(index);
  const state = stateInMemory(options, simulatedNodeId(index));
  const time = createControlTime(systemClock);
  const document = createCurrentDocument({ state, nodeKey: key.publicKey, time });
  return startGatewayLink(
    { url: options.url },
    {
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      localAddress: simulatedAddress(index),
      key,
      state,
      time,
      document,
      registry: createGatewayRegistry(),
      declare: () => signDocument(key, 'declaration', declarationOf(options, state)),
      drained: () => undefined,
      inFlight: () => 0,
      loads: () => [],
      serve: (stream, headers) => answer(stream, headers, onAnswer),
    },
  );
}

function stateInMemory({ networkId, fingerprint, operator }: SimulatedAgentsOptions, nodeId: string): NodeStateStore {
  let current: NodeState = {
    version: 1,
    networkId,
    fingerprint,
    nodeId,
    operator,
    // The gateway shows the chain; it is checked against the fingerprint.
    chain: { networkId, networkKey: '', signingKeys: [] },
    epoch: 0,
    serial: 0,
    document: null,
    declarationSerial: 0,
  };
  return {
    get current() {
      return current;
    },
    save(changes) {
      current = { ...current, ...changes };
    },
  };
}

function declarationOf({ networkId, consent }: SimulatedAgentsOptions, state: NodeStateStore): NodeDeclaration {
  const nowMs = Math.trunc(systemClock.nowMs());
  const serial = Math.max(state.current.declarationSerial + 1, nowMs);
  state.save({ declarationSerial: serial });
  return {
    version: 1,
    networkId,
    nodeId: state.current.nodeId,
    serial,
    issuedAt: nowMs,
    models: [{ id: SIMULATED_MODEL, digest: null, quantization: 'fp16', modalities: ['text'], contextLength: 8_192 }],
    labels: {},
    hardware: null,
    location: null,
    consent,
    concurrency: 8,
    agentVersion: 'simulated',
  };
}

const ANSWER = JSON.stringify({
  id: 'c1',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello there.' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
});

function answer(stream: ServerHttp2Stream, _headers: IncomingHttpHeaders, onAnswer: () => void): void {
  stream.on('error', () => undefined);
  stream.resume();
  stream.on('end', () => {
    if (stream.destroyed) return;
    stream.respond({ ':status': 200, 'content-type': 'application/json', 'content-length': Buffer.byteLength(ANSWER) });
    stream.end(ANSWER);
    onAnswer();
  });
}
