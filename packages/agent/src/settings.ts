/**
 * What is in force right now: flags over `agent.yaml` over defaults. The file is looked at every few seconds, so that
 * consent can be changed at any time; a file that cannot be used changes nothing and is reported once.
 */
import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Consent } from '@subcloud/contract/vocabulary';
import type { Clock } from '@subcloud/kit/clock';
import { ConfigError } from '@subcloud/kit/config';
import type { Log } from '@subcloud/kit/log';
import { type AgentFile, type EngineSpec, type Location, consent, parseAgentFile } from './agent-file.ts';
import type { AgentConfig } from './config.ts';
import { choicesPath, readChoices, withChoices } from './consent-choices.ts';
import type { HardwareSetting } from './hardware/watch-hardware.ts';

export interface AgentSettings {
  readonly engines: 'auto' | readonly EngineSpec[];
  readonly apis: readonly { readonly name: string; readonly url: string }[];
  /** `none`: nothing is told of the machine's GPUs. */
  readonly hardware: HardwareSetting;
  readonly labels: Readonly<Record<string, string>>;
  readonly location: Location | null;
  readonly consent: Consent;
  /** Requests taken at once; null: no limit of the operator's. */
  readonly concurrency: number | null;
}

export interface LiveSettings {
  readonly current: AgentSettings;
  /** Fixed at the start: a change in the file takes a restart. */
  readonly url: string | undefined;
  readonly joinToken: string | undefined;
  readonly name: string;
  onChange(listener: () => void): void;
  /** Wins over flags and file from now on. */
  update(partial: Partial<AgentSettings>): void;
  stop(): void;
}

const FILE_LOOK_MS = 2_000;
/** The operator waits for it. */
const CHOICES_LOOK_MS = 250;

/** Throws ConfigError when the file is there and has faults, or was named and is not there. */
export function liveSettings(config: AgentConfig, clock: Clock, log: Log): LiveSettings {
  let overrides: Partial<AgentSettings> = {};
  let stamp = stampOf(config.config);
  let file = config.config === undefined ? {} : readFile(config.config);
  let choicesStamp = stampOf(choicesPath(config.dataDir));
  let choices = readChoices(config.dataDir);
  const merged = (): AgentSettings => {
    const settings = merge(config, file, overrides);
    return { ...settings, consent: withChoices(settings.consent, choices) };
  };
  let current = merged();
  const listeners: (() => void)[] = [];
  const apply = (): void => {
    const next = merged();
    if (JSON.stringify(next) === JSON.stringify(current)) return;
    current = next;
    for (const listener of listeners) listener();
  };
  const look = (): void => {
    if (config.config === undefined) return;
    const seen = stampOf(config.config);
    if (seen === stamp) return;
    stamp = seen;
    const before = file;
    try {
      file = readFile(config.config);
      apply();
    } catch (error) {
      file = before;
      log.error(
        { file: config.config, faults: faultsOf(error) },
        'agent.yaml has faults; the settings before stay in force',
      );
      return;
    }
    log.info({ file: config.config }, 'agent.yaml was read again');
  };
  const lookAtChoices = (): void => {
    const seen = stampOf(choicesPath(config.dataDir));
    if (seen === choicesStamp) return;
    choicesStamp = seen;
    try {
      choices = readChoices(config.dataDir);
    } catch (error) {
      log.error(
        { why: faultsOf(error) },
        'the consent given on this machine cannot be read; what was before stays in force',
      );
      return;
    }
    log.info({}, 'the consent given on this machine was read again');
    apply();
  };
  const timers = [clock.every(FILE_LOOK_MS, look), clock.every(CHOICES_LOOK_MS, lookAtChoices)];
  return {
    get current() {
      return current;
    },
    url: config.url ?? file.url,
    joinToken: config.joinToken ?? file.joinToken,
    name: config.name ?? file.name ?? (hostname().slice(0, 128) || 'node'),
    onChange: (listener) => {
      listeners.push(listener);
    },
    update(partial) {
      overrides = { ...overrides, ...partial };
      apply();
    },
    stop: () => timers.forEach((timer) => timer.cancel()),
  };
}

/** Throws ConfigError where a pool has a share of what is not said. */
function merge(config: AgentConfig, file: AgentFile, overrides: Partial<AgentSettings>): AgentSettings {
  const merged = mergeParts(config, file, overrides);
  const [shared] = Object.entries(merged.consent.pools ?? {}).find(([, { share }]) => share !== undefined) ?? [];
  if (shared === undefined || merged.concurrency !== null) return merged;
  const what = 'is a share of `concurrency`, which is not set: say how many requests this machine takes at once';
  throw new ConfigError([`consent.pools.${shared}.share: ${what}`]);
}

function mergeParts(config: AgentConfig, file: AgentFile, overrides: Partial<AgentSettings>): AgentSettings {
  return {
    engines: config.engines ?? file.engines ?? 'auto',
    apis: config.apis ?? file.apis ?? [],
    hardware: config.hardware ?? file.hardware ?? 'auto',
    labels: config.labels ?? file.labels ?? {},
    location: config.location ?? file.location ?? null,
    consent: config.consent ?? file.consent ?? consent.parse({}),
    concurrency: config.concurrency ?? file.concurrency ?? null,
    ...overrides,
  };
}

function stampOf(path: string | undefined): string {
  if (path === undefined) return '';
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? 'absent' : `${stat.mtimeMs}/${stat.size}/${stat.ino}`;
}

function readFile(path: string): AgentFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError([`${path}: ${error instanceof Error ? error.message : 'cannot be read'}`]);
  }
  const parsed = parseAgentFile(text);
  if (!parsed.ok) throw new ConfigError(parsed.faults.map((fault) => `${path}: ${fault}`));
  return parsed.file;
}

function faultsOf(error: unknown): readonly string[] {
  return error instanceof ConfigError ? error.faults : [String(error)];
}
