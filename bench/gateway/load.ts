/** One measurement: wrk against a gateway, and what of its process's time that took. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Target } from './contenders.ts';
import { cpuUs } from './processes.ts';
import type { Tool } from './tools.ts';
import { CONNECTIONS, type Kind, type Work, bodyOf, faultOf } from './work.ts';

/** What a gateway does after the answer (usage, decisions) is its cost too. */
const SETTLE_MS = 700;
const run = promisify(execFile);

export interface Measured {
  readonly requests: number;
  readonly cpuUs: number;
}

/** Asks once and compares the answer with the one that it must be. Throws when it is another. */
export async function check(kind: Kind, target: Target, key: string): Promise<void> {
  const { status, text } = await ask(kind, target, key);
  const fault = faultOf(kind, status, text);
  if (fault !== undefined) throw new Error(`${target.name} does not answer ${kind} as it must: ${fault}`);
}

/** Throws when any answer was an error: a figure of a gateway that refuses is none. */
export async function measure(
  work: Work,
  target: Target,
  options: {
    readonly wrk: Tool;
    readonly folder: string;
    readonly key: string;
    readonly seconds: number;
    readonly warmUpSeconds: number;
  },
): Promise<Measured> {
  const script = join(options.folder, `${work}-${target.name}.lua`);
  writeFileSync(script, scriptOf(work, target, options.key));
  const load = async (seconds: number): Promise<number> => {
    const words = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '-s', script, `${target.url}/v1/chat/completions`];
    const { stdout } = await run(options.wrk.command, words, { env: { ...process.env, ...options.wrk.env } });
    const counted = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, number>;
    const { requests = 0, ...faults } = counted;
    if (requests === 0 || Object.values(faults).some((count) => count > 0)) {
      throw new Error(`${target.name}, ${work}: not every answer was one: ${JSON.stringify(counted)}`);
    }
    return requests;
  };
  await load(options.warmUpSeconds);
  await sleep(SETTLE_MS);
  const before = cpuUs(target.pid);
  const requests = await load(options.seconds);
  await sleep(SETTLE_MS);
  return { requests, cpuUs: cpuUs(target.pid) - before };
}

function scriptOf(work: Work, target: Target, key: string): string {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...target.headers };
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers["${name}"] = ${JSON.stringify(value)}`);
  return `wrk.method = "POST"
${lines.join('\n')}
wrk.body = ${JSON.stringify(bodyOf(work))}
function done(summary)
  local e = summary.errors
  print(string.format('{"requests":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}',
    summary.requests, e.connect, e.read, e.write, e.timeout, e.status))
end
`;
}

function ask(kind: Kind, target: Target, key: string): Promise<{ readonly status: number; readonly text: string }> {
  const body = bodyOf(kind);
  const headers = {
    'content-type': 'application/json',
    authorization: `Bearer ${key}`,
    'content-length': Buffer.byteLength(body),
    ...target.headers,
  };
  return new Promise((resolve, reject) => {
    const asking = request(`${target.url}/v1/chat/completions`, { method: 'POST', headers, agent: false });
    asking.on('error', reject);
    asking.on('response', (answer: IncomingMessage) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => (text += part));
      answer.on('error', reject);
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    asking.end(body);
  });
}
