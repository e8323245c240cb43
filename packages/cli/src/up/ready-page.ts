import { pinText } from '../find-network.ts';
import { joinLines } from '../join-lines.ts';

export interface ReadyNews {
  readonly url: string;
  readonly apiKey: string;
  readonly dataDir: string;
  readonly joinToken: string;
  readonly tlsKeySha256: string | null;
  /** Hex; null where the agent's file could not be made. */
  readonly agentSha256: string | null;
  /** Ready to answer; else why there is no demo. */
  readonly demo: { readonly model: string } | { readonly absent: string };
  readonly tookMs: number;
}

export const DEMO_MODEL = 'subcloud-demo';
export const DEMO_QUESTION = 'What is the capital of France?';

/** What a person sees when the network is up. */
export function readyPage(news: ReadyNews): string {
  const { url, apiKey, demo } = news;
  const isLoopback = news.tlsKeySha256 === null;
  return [
    `Subcloud is ready (${(news.tookMs / 1000).toFixed(1)} s). Ctrl-C drains and stops it.`,
    '',
    `  API        ${url}/v1`,
    `  reference  ${url}/docs`,
    `  API key    ${apiKey}`,
    `  data       ${news.dataDir}`,
    '',
    isLoopback
      ? 'Join an engine of this machine (for other machines, start with --host 0.0.0.0):'
      : 'Join another machine:',
    ...joinLines(news).map((line, index) => (index === 0 ? `  ${line}` : `or, in a clone of this project:\n  ${line}`)),
    '',
    ...('model' in demo
      ? [`Ask the demo model:`, `  ${curlLine(news, demo.model)}`]
      : [`Without the demo: ${demo.absent}`]),
    '',
  ].join('\n');
}

/** One line that streams an answer, to be pasted into a shell. */
function curlLine({ url, apiKey, tlsKeySha256 }: ReadyNews, model: string): string {
  const body = { model, messages: [{ role: 'user', content: DEMO_QUESTION }], temperature: 0, stream: true };
  // The pinned key says more than the authority that is not asked: curl checks it with -k as well.
  const trust = tlsKeySha256 === null ? '' : ` -k --pinnedpubkey '${pinText(tlsKeySha256)}'`;
  return `curl -N${trust} ${url}/v1/chat/completions -H 'authorization: Bearer ${apiKey}' -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
}
