/** What a real engine answered, byte for byte: packages/agent/fixtures/llama-cpp/exchanges has where it is from. */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface RecordedExchange {
  readonly name: string;
  readonly path: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly status: number;
  readonly contentType: string;
  /** UTF-8. */
  readonly body: string;
}

export const exchangesFolder = fileURLToPath(new URL('../../agent/fixtures/llama-cpp/exchanges', import.meta.url));

export function recordedExchanges(): readonly RecordedExchange[] {
  return readdirSync(exchangesFolder)
    .filter((name) => name.endsWith('.json') && name !== 'about.json')
    .sort()
    .map((name) => JSON.parse(readFileSync(`${exchangesFolder}/${name}`, 'utf8')) as RecordedExchange);
}
