/** A llama.cpp server with the demo model, as a process of the test. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type RealEngine, ended } from '@subcloud/testkit/real-engine';

const model = fileURLToPath(new URL('../../demo-engine/model/tiny-f16.gguf', import.meta.url));
const template = fileURLToPath(new URL('tools.jinja', import.meta.url));

/** What it calls the model. */
export const LLAMA_MODEL = 'tiny';
export const SLOTS = 4;

/** `tools`: with a chat template that has calls of functions, which the model's own has not. */
export type LlamaKind = 'chat' | 'tools' | 'embeddings';

const OPTIONS: Readonly<Record<LlamaKind, readonly string[]>> = {
  chat: ['--jinja', '--metrics', '--slots'],
  tools: ['--jinja', '--chat-template-file', template],
  embeddings: ['--embeddings', '--pooling', 'mean'],
};

/** As it is started, for people; folders left out. */
export function commandOf(kind: LlamaKind): string {
  const options = OPTIONS[kind].map((option) => option.slice(option.lastIndexOf('/') + 1));
  return ['llama-server', ...BASE, ...options].join(' ');
}

const BASE = [
  '--threads',
  '1',
  '--ctx-size',
  String(1_024 * SLOTS),
  '--parallel',
  String(SLOTS),
  '--alias',
  LLAMA_MODEL,
];

/** Resolves when it listens, with its model loaded. */
export async function startLlamaServer(kind: LlamaKind): Promise<RealEngine> {
  const path = process.env['LLAMA_SERVER'];
  if (path === undefined) throw new Error('LLAMA_SERVER is not set: use `npm run test:engines`');
  const args = ['--model', model, '--host', '127.0.0.1', '--port', '0', ...BASE, ...OPTIONS[kind]];
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  const listening = Promise.withResolvers<string>();
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      if (lines.length < 200) lines.push(line);
      const url = /listening on (http:\/\/[\w.]+:\d+)/.exec(line)?.[1];
      if (url !== undefined) listening.resolve(url);
    });
  }
  const left = once(child, 'exit').then(() => Promise.reject(new Error(`it ended:\n${lines.join('\n')}`)));
  left.catch(() => {});
  const url = await Promise.race([listening.promise, left]);
  return { url, process: child, [Symbol.asyncDispose]: () => ended(child) };
}
