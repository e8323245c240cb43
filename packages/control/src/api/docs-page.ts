/**
 * The readable reference at `/docs`, made from the contract's routes: one page, no script, nothing from the network.
 */
import { ERROR_CODES } from '@subcloud/contract/errors';
import { controlRoutes } from '@subcloud/contract/routes/control';
import { COMMON_ERRORS, type RouteSpec } from '@subcloud/contract/routes/route';
import type * as z from 'zod';
import { schemaOf } from './openapi.ts';

export const DOCS_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
} as const;

const STYLE =
  'body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1a2330}code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f4f6f8;padding:.75rem;overflow:auto;border-radius:6px}h2{margin-top:2.2rem;border-bottom:1px solid #dde3e9}h3 code{font-size:15px}.m{display:inline-block;min-width:4.2em;font-weight:600;color:#0b5cad}table{border-collapse:collapse}td{padding:.15rem .9rem .15rem 0;vertical-align:top}';

/** The whole page; it only changes with the release, so it is made once. */
export function docsPage(version: string): string {
  const groups = new Map<string, [string, RouteSpec][]>();
  for (const [name, route] of Object.entries(controlRoutes) as [string, RouteSpec][]) {
    const group = route.action.split('.')[0] ?? '';
    groups.set(group, [...(groups.get(group) ?? []), [name, route]]);
  }
  const sections = [...groups].map(
    ([group, routes]) =>
      `<h2 id="${group}">${group}</h2>${routes.map(([name, route]) => routeSection(name, route)).join('')}`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Subcloud API</title><style>${STYLE}</style>
<h1>Subcloud ${escape(version)}</h1>
<p>Inference is OpenAI-compatible: <code>POST /v1/chat/completions</code>, <code>/v1/completions</code>, <code>/v1/embeddings</code> and <code>GET /v1/models</code> in the pool of your key or token, the same below <code>/s/NAME</code> in the pool NAME.
Everything else is below; as a document: <a href="/api/v1/openapi.json">OpenAPI 3.1</a>. Send <code>authorization: Bearer …</code> with an account key or the admin token.</p>
${sections.join('\n')}
<h2 id="errors">Errors</h2><table>${Object.entries(ERROR_CODES)
    .map(
      ([code, { status, summary, advice }]) =>
        `<tr id="${code}"><td><code>${code}</code><td>${status}<td>${escape(summary)} ${escape(advice)}`,
    )
    .join('')}</table></html>`;
}

function routeSection(name: string, route: RouteSpec): string {
  const parts = [
    `<h3 id="${name}"><span class="m">${route.method.toUpperCase()}</span> <code>${escape(route.path)}</code></h3><p>${escape(route.summary)} Takes ${CREDENTIAL[route.auth]}.</p>`,
    shape('Query', route.query),
    shape('Body', route.body),
    shape(`Answer ${route.status}`, route.response),
    `<p>Errors: ${[...route.errors, ...COMMON_ERRORS].map((code) => `<a href="#${code}"><code>${code}</code></a>`).join(', ')}</p>`,
  ];
  return parts.join('');
}

const CREDENTIAL: Readonly<Record<RouteSpec['auth'], string>> = {
  public: 'no credential',
  join: 'a join token in the body',
  credential: 'an account key or the admin token',
};

function shape(title: string, schema: z.ZodType | undefined): string {
  if (schema === undefined) return '';
  const json = schemaOf(schema, title === 'Query' || title === 'Body' ? 'input' : 'output');
  return `<details><summary>${title}</summary><pre>${escape(JSON.stringify(json, null, 2))}</pre></details>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
