/**
 * Wiring only: settings, engines, hardware, identity, links. The order matters: engines are looked at before the first link, so
 * that a restart does not declare a machine without models.
 */
import { mkdirSync } from 'node:fs';
import { type TraceEnvironment, startTracing } from '@subcloud/kit/tracing/start-tracing';
import type { Clock, Random } from '@subcloud/kit/clock';
import { ConfigError } from '@subcloud/kit/config';
import type { FolderLock } from '@subcloud/kit/folder-lock';
import type { Log } from '@subcloud/kit/log';
import type { SigningKey } from '@subcloud/kit/signing';
import type { AgentConfig } from './config.ts';
import { createControlTime } from './control-time.ts';
import { signDeclaration } from './declaration.ts';
import { type EngineFleet, createEngineFleet } from './engines/engine-fleet.ts';
import { type Hardware, watchHardware } from './hardware/watch-hardware.ts';
import { identify } from './identify.ts';
import { startGatewayLinks } from './link/gateway-links.ts';
import { createGatewayRegistry } from './link/gateway-registry.ts';
import { watchForChanges } from './redeclare.ts';
import { createAdmission } from './serve/admission.ts';
import { watchDrainedPools } from './serve/drained-pools.ts';
import { type Served, handleRequest } from './serve/handler.ts';
import { handleApiRequest, isApiPath } from './serve/internal-api.ts';
import { createReceipts } from './serve/receipts.ts';
import { ServeSpans } from './serve/serve-spans.ts';
import { type AgentSettings, type LiveSettings, liveSettings } from './settings.ts';
import { createCurrentDocument } from './state/current-document.ts';
import { lockDataDir } from './state/data-lock.ts';
import { loadNodeKey } from './state/node-key.ts';
import type { NodeStateStore } from './state/node-state.ts';

export { agentOptions } from './config.ts';
export type { AgentConfig } from './config.ts';
export { chooseJoin, chooseLeave } from './consent-choices.ts';
export type { AgentSettings } from './settings.ts';
export type { Served } from './serve/handler.ts';

export interface AgentObserver {
  /** For each request that a gateway sent, when it was handed to an engine or refused. */
  readonly onServe?: (served: Served) => void;
}

export interface AgentOptions {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly observe?: AgentObserver;
  /** Folders of the tools that report on the machine; default: where drivers put them. */
  readonly toolFolders?: readonly string[];
  /** Of its OpenTelemetry variables; left out: nothing is traced. */
  readonly traceEnv?: TraceEnvironment | undefined;
  /** Ends a start that is still under way. */
  readonly signal?: AbortSignal;
}

export interface RunningAgent extends AsyncDisposable {
  readonly nodeId: string;
  readonly networkId: string;
  /** Whether any gateway has this node. */
  linked(): boolean;
  /** Network ids of the models that its engines offer now. */
  models(): readonly string[];
  /** Pools that this node is a member of by its document. */
  pools(): readonly string[];
  /** Of the highest node document that was accepted. */
  documentPosition(): { readonly epoch: number; readonly serial: number };
  /** Settings that win over flags and file from now on. */
  update(partial: Partial<AgentSettings>): void;
  /** Drains for at most 30 s, then closes everything. */
  stop(): Promise<void>;
}

const DRAIN_MS = 30_000;

/** Resolves when the node is enrolled and dialling. Throws ConfigError or LinkError with a sentence that says what to do. */
export async function runAgent(options: AgentOptions): Promise<RunningAgent> {
  const { config, clock, log } = options;
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const lock = await lockDataDir(config.dataDir);
  let settings: LiveSettings | undefined;
  const engines = createEngineFleet({ clock, log });
  const hardware = watchHardware({ clock, log, toolFolders: options.toolFolders });
  try {
    settings = liveSettings(config, clock, log);
    const { url, joinToken, name } = settings;
    if (url === undefined) throw new ConfigError(['--url: the URL of the network is needed.']);
    const key = loadNodeKey(config.dataDir);
    const signal = options.signal ?? new AbortController().signal;
    const { dataDir, localAddress } = config;
    const [state] = await Promise.all([
      identify({ ...options, dataDir, localAddress, url, joinToken, name, key, signal }),
      engines.use(settings.current.engines),
      hardware.use(settings.current.hardware),
    ]);
    const tracing = await startTracing({
      service: 'subcloud-agent',
      instance: state.current.nodeId,
      env: options.traceEnv,
      log,
    });
    const spans = tracing === undefined ? undefined : new ServeSpans(tracing, clock);
    return link(options, { settings, engines, hardware, lock, url, key, state, spans });
  } catch (error) {
    settings?.stop();
    hardware.stop();
    await engines.close();
    await lock.release();
    throw error;
  }
}

interface Parts {
  readonly settings: LiveSettings;
  readonly engines: EngineFleet;
  readonly hardware: Hardware;
  readonly lock: FolderLock;
  readonly url: string;
  readonly key: SigningKey;
  readonly state: NodeStateStore;
  readonly spans: ServeSpans | undefined;
}

function link({ config, clock, random, log, observe }: AgentOptions, parts: Parts): RunningAgent {
  const { settings, engines, hardware, url, key, state, spans } = parts;
  const { nodeId, networkId, operator } = state.current;
  const time = createControlTime(clock);
  const document = createCurrentDocument({ state, nodeKey: key.publicKey, time });
  const admission = createAdmission();
  const drained = watchDrainedPools({ document, admission, say: () => links.sayDrained() });
  const receipts = createReceipts({
    clock,
    key,
    networkId,
    nodeId,
    nowMs: () => time.nowMs(),
    elsewhere: { sendReceipts: (batch) => links.sendReceipts(batch) },
  });
  let refusing = false;
  const serving = {
    clock,
    log,
    settings,
    document,
    operator,
    engines,
    admission,
    receipts,
    spans,
    refusing: () => refusing,
    onServe: observe?.onServe,
  };
  const links = startGatewayLinks(url, {
    clock,
    random,
    log,
    localAddress: config.localAddress,
    key,
    state,
    time,
    document,
    registry: createGatewayRegistry(),
    declare: () => signDeclaration({ key, state, settings, engines, hardware, clock }),
    inFlight: () => admission.inFlight,
    loads: () => engines.loads(),
    drained: () => drained.now(),
    serve: (stream, headers, link) =>
      void (isApiPath(headers)
        ? handleApiRequest(stream, headers, serving, link)
        : handleRequest(stream, headers, serving, link)),
  });
  const changes = watchForChanges({ settings, engines, hardware, clock, declare: () => links.declare() });

  const stop = async (): Promise<void> => {
    changes.stop();
    settings.stop();
    hardware.stop();
    await links.announceDrain();
    // What the gateway sent before it had heard is here and is finished; from now on nothing new is taken.
    refusing = true;
    // The timer is taken away with the wait: it would hold the process that the agent runs in.
    const drained = new AbortController();
    await Promise.race([admission.idle(), clock.sleep(DRAIN_MS, drained.signal).catch(() => undefined)]);
    drained.abort();
    receipts.flush();
    receipts.stop();
    await links.stop();
    await engines.close();
    await spans?.stop();
    await parts.lock.release();
    log.info({}, 'stopped');
  };
  let stopping: Promise<void> | undefined;
  return {
    nodeId,
    networkId,
    linked: () => links.linked(),
    models: () => engines.models(),
    pools: () => document.pools(),
    documentPosition: () => document.position,
    update: (partial) => settings.update(partial),
    stop: () => (stopping ??= stop()),
    [Symbol.asyncDispose]: () => (stopping ??= stop()),
  };
}
