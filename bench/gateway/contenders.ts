/** Who is measured, each as a process and the URL by which it answers one kind of work. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Network } from './network.ts';
import { freePort, start } from './processes.ts';
import { type Tool, findPortkey } from './tools.ts';
import { type Kind, MODEL_OF, SHORT_ANSWER, type Work } from './work.ts';

const ENGINE = fileURLToPath(new URL('./engine.ts', import.meta.url));
const PASS_THROUGH = fileURLToPath(new URL('./pass-through.ts', import.meta.url));
const STREAM_PATCH = fileURLToPath(new URL('./portkey/stream-patch.ts', import.meta.url));

export type Contender = 'subcloud' | 'subcloudTls' | 'passthrough' | 'nginx' | 'portkey';

export interface Target {
  readonly name: Contender;
  readonly pid: number;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The short one is nginx, so that its own cost is the least; the others have to pace what they say. */
export async function startEngines(nginx: Tool, folder: string): Promise<Readonly<Record<Kind, string>>> {
  const urls: Record<Kind, string> = { short: '', stream: '', paced: '', delayed: '' };
  for (const kind of ['short', 'stream', 'paced', 'delayed'] as const) {
    const port = await freePort();
    urls[kind] = `http://127.0.0.1:${port}`;
    if (kind === 'short') await startNginx(nginx, folder, 'engine', port, engineConfig(port));
    else {
      const words = [ENGINE, kind, String(port), MODEL_OF[kind]];
      await start({ command: process.execPath, arguments: words, ready: 'first line' });
    }
  }
  return urls;
}

export interface PeerOptions {
  readonly nginx: Tool;
  readonly folder: string;
  readonly only: readonly string[];
  readonly say: (text: string) => void;
}

/** What is compared with this gateway in one kind of work. Left out: what is not installed and cannot be. */
export async function startPeers(work: Work, engineUrl: string, options: PeerOptions): Promise<readonly Target[]> {
  const targets: Target[] = [];
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  if (options.only.includes('passthrough')) {
    const words = [PASS_THROUGH, String(port), engineUrl];
    const { pid } = await start({ command: process.execPath, arguments: words, ready: 'first line' });
    targets.push({ name: 'passthrough', pid, url, headers: {} });
  }
  if (options.only.includes('nginx')) targets.push(await startProxy(work, engineUrl, options));
  const portkey = options.only.includes('portkey') ? await startPortkey(engineUrl, options.say) : undefined;
  return portkey === undefined ? targets : [...targets, portkey];
}

async function startProxy(work: Work, engineUrl: string, { nginx, folder }: PeerOptions): Promise<Target> {
  const port = await freePort();
  const pid = await startNginx(nginx, folder, `proxy-${work}`, port, proxyConfig(port, engineUrl));
  return { name: 'nginx', pid, url: `http://127.0.0.1:${port}`, headers: {} };
}

async function startPortkey(engineUrl: string, say: (text: string) => void): Promise<Target | undefined> {
  const server = findPortkey(say);
  if (server === undefined) return undefined;
  const port = await freePort();
  const { pid } = await start({
    command: process.execPath,
    arguments: ['--import', STREAM_PATCH, server, `--port=${port}`, '--headless'],
    env: { NODE_ENV: 'production' },
    ready: { port },
  });
  const headers = { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${engineUrl}/v1` };
  return { name: 'portkey', pid, url: `http://127.0.0.1:${port}`, headers };
}

export function ownTargets(network: Network): readonly Target[] {
  return [
    { name: 'subcloud', ...network.plain, headers: {} },
    { name: 'subcloudTls', ...network.tls, headers: {} },
  ];
}

async function startNginx(nginx: Tool, folder: string, name: string, port: number, config: string): Promise<number> {
  const path = join(folder, `${name}.conf`);
  // One process, in the foreground, so that its pid is the one that works.
  const frame = `daemon off; master_process off; pid ${folder}/${name}.pid; error_log ${folder}/${name}.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; ${bodyPaths(folder, name)} ${config} }\n`;
  writeFileSync(path, frame);
  const words = ['-p', folder, '-c', path, '-e', join(folder, `${name}.err`)];
  return (await start({ command: nginx.command, arguments: words, env: nginx.env, ready: { port } })).pid;
}

/** Where Debian's nginx would otherwise write below /var. */
function bodyPaths(folder: string, name: string): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return kinds.map((kind) => `${kind}_temp_path ${folder}/${name}-${kind};`).join(' ');
}

function engineConfig(port: number): string {
  const models = JSON.stringify({ object: 'list', data: [{ id: MODEL_OF.short, object: 'model' }] });
  const answers = `default_type application/json; location = /v1/models { return 200 '${models}'; } location / { return 200 '${SHORT_ANSWER}'; }`;
  return `server { listen 127.0.0.1:${port}; ${answers} }`;
}

function proxyConfig(port: number, engineUrl: string): string {
  const engine = engineUrl.slice('http://'.length);
  return `upstream engine { server ${engine}; keepalive 256; keepalive_requests 1000000000; }
server { listen 127.0.0.1:${port};
location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } }`;
}
