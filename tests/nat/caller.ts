/** A caller on another machine: takes one JSON line a call on stdin, answers one on stdout. */
import { request } from 'node:https';
import { createInterface } from 'node:readline';

export interface Asked {
  readonly number: number;
  readonly url: string;
  readonly key: string;
  readonly model: string;
}
export interface Told {
  readonly number: number;
  readonly status: number;
  /** The answer came to its proper end. */
  readonly whole: boolean;
  readonly code: string | null;
  readonly node: string | null;
  readonly firstByteMs: number;
}

function call({ number, url, key, model }: Asked): Promise<Told> {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const failed = { number, status: 0, whole: false, code: null, node: null, firstByteMs: 0 };
    const asking = request(
      `${url}/v1/chat/completions`,
      {
        method: 'POST',
        agent: false,
        timeout: 30_000,
        rejectUnauthorized: false,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      },
      (answer) => {
        const firstByteMs = performance.now() - startedMs;
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part: string) => (text += part));
        answer.on('error', () => resolve(failed));
        answer.on('end', () => {
          const status = answer.statusCode ?? 0;
          const code = /"code":"([a-z_.]+)"/.exec(text)?.[1] ?? null;
          const whole = status === 200 && text.endsWith('data: [DONE]\n\n');
          resolve({ number, status, whole, code, node: String(answer.headers['x-subcloud-node'] ?? ''), firstByteMs });
        });
      },
    );
    asking.on('timeout', () => asking.destroy());
    asking.on('error', () => resolve(failed));
    asking.end(JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'hello' }] }));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  void call(JSON.parse(line) as Asked).then((told) => process.stdout.write(`${JSON.stringify(told)}\n`));
}
