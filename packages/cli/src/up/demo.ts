/**
 * The demo: an engine with a very small real model, and a node for it, so that a network without machines answers at once.
 * It is there for a first look only: another node's presence, or the removal of its own, keeps it away.
 */
import { join } from 'node:path';
import { writeFileDurably } from '@subcloud/kit/files';
import type { ChatClient } from '@subcloud/sdk/chat';
import type { Client } from '@subcloud/sdk/client';
import { listAll } from '@subcloud/sdk/pages';
import * as z from 'zod';
import { readJsonFile } from '../find-network.ts';
import { type RunningChild, startChild } from './child-process.ts';
import { type PartsContext, asEnvironment, foreignEnvironment, serviceMain } from './core-parts.ts';
import type { Part } from './keep-running.ts';
import { DEMO_MODEL, DEMO_QUESTION } from './ready-page.ts';
import { childLogLevel } from './up-log.ts';

export const DEMO_NODE_NAME = 'subcloud-demo';
const READY_LIMIT_MS = { engine: 60_000, agent: 30_000 } as const;
const STOP_LIMIT_MS = { engine: 5_000, agent: 15_000 } as const;
const ANSWER_POLL_MS = 100;

export type DemoDecision = { readonly run: true } | { readonly run: false; readonly why: string };

const ownNode = z.object({ nodeId: z.string() });
const agentReady = z.object({ nodeId: z.string() });
const engineListening = z.object({ host: z.string(), port: z.int() });

/** Whether the demo belongs into this network now. */
export async function decideDemo(
  admin: Client,
  context: Pick<PartsContext, 'config' | 'dataDir'>,
): Promise<DemoDecision> {
  if (context.config.noDemo) return { run: false, why: 'it was not wanted (--no-demo).' };
  // It would come from where the proxy may stand, and whoever comes from there needs a proxy's word.
  if (context.config.behindProxy !== undefined) return { run: false, why: 'the network is behind a proxy.' };
  const nodes = await listAll(admin, 'listNodes');
  const own = readJsonFile(ownNodeFile(context.dataDir), ownNode);
  // The name is known before the id is written down: a start that was killed in between left only the name.
  const others = nodes.filter((node) => node.id !== own?.nodeId && node.name !== DEMO_NODE_NAME);
  if (others.length > 0) {
    return {
      run: false,
      why: `${others.length === 1 ? 'another node is' : `${others.length} other nodes are`} enrolled.`,
    };
  }
  if (own !== undefined && !nodes.some((node) => node.id === own.nodeId)) {
    return {
      run: false,
      why: `its node was removed from this network. To have it back, remove ${demoDir(context.dataDir)} and start again.`,
    };
  }
  return { run: true };
}

/** The engine; it keeps the port that it was given first, since its agent was told that one. */
export function demoEnginePart(context: PartsContext, entry: string): Part<RunningChild> {
  let port = 0;
  return {
    name: 'demo-engine',
    async start(signal) {
      const engine = await startChild(
        {
          name: 'demo-engine',
          entry,
          args: ['--host', '127.0.0.1', '--port', String(port)],
          env: foreignEnvironment(context.env),
          reportKey: 'listening',
          onLine: context.logs.lines('demo-engine'),
          clock: context.clock,
          readyLimitMs: READY_LIMIT_MS.engine,
          stopLimitMs: STOP_LIMIT_MS.engine,
        },
        signal,
      );
      port = engineListening.parse(engine.ready).port;
      return engine;
    },
  };
}

export function engineUrl(engine: RunningChild): string {
  const { host, port } = engineListening.parse(engine.ready);
  return `http://${host}:${port}`;
}

export interface DemoAgentSettings {
  /** Of the network. */
  readonly url: string;
  readonly joinToken: string;
  readonly engineUrl: string;
}

/** The node of the demo. Its operator permits everything that takes no pool away from it. */
export function demoAgentPart(context: PartsContext, settings: DemoAgentSettings): Part<RunningChild> {
  return {
    name: 'demo-agent',
    async start(signal) {
      const agent = await startChild(
        {
          name: 'demo-agent',
          entry: serviceMain('agent'),
          env: {
            ...foreignEnvironment(context.env),
            ...asEnvironment({
              url: settings.url,
              joinToken: settings.joinToken,
              dataDir: join(demoDir(context.dataDir), 'agent'),
              name: DEMO_NODE_NAME,
              engines: settings.engineUrl,
              consent: '{ autoJoin: all }',
              logLevel: childLogLevel(context.config.logLevel),
            }),
          },
          onLine: context.logs.lines('demo-agent'),
          clock: context.clock,
          readyLimitMs: READY_LIMIT_MS.agent,
          stopLimitMs: STOP_LIMIT_MS.agent,
        },
        signal,
      );
      const { nodeId } = agentReady.parse(agent.ready);
      writeFileDurably(ownNodeFile(context.dataDir), `${JSON.stringify({ nodeId })}\n`);
      return agent;
    },
  };
}

/** Resolves when the demo model is listed and answers; rejects with the last reason after the limit. */
export async function demoAnswers(
  chat: ChatClient,
  options: Pick<PartsContext, 'clock'> & { readonly limitMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const { clock, limitMs, signal } = options;
  const untilMs = clock.monotonicMs() + limitMs;
  for (;;) {
    try {
      if ((await chat.models()).includes(DEMO_MODEL)) return await firstToken(chat, signal);
      if (clock.monotonicMs() >= untilMs) throw new Error(`the model ${DEMO_MODEL} is not listed`);
    } catch (error) {
      if (signal.aborted || clock.monotonicMs() >= untilMs) throw error;
    }
    await clock.sleep(ANSWER_POLL_MS, signal);
  }
}

async function firstToken(chat: ChatClient, signal: AbortSignal): Promise<void> {
  const question = { role: 'user', content: DEMO_QUESTION } as const;
  const answer = chat.stream({ model: DEMO_MODEL, messages: [question], temperature: 0, maxTokens: 1, signal });
  for await (const _ of answer) break;
}

function demoDir(dataDir: string): string {
  return join(dataDir, 'demo');
}

function ownNodeFile(dataDir: string): string {
  return join(demoDir(dataDir), 'node.json');
}
