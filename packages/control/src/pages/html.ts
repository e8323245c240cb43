/** Plain pages: no script, nothing from elsewhere, every value escaped. */
import { createHash } from 'node:crypto';

/** Text that is HTML already. Made by `html` alone. */
export interface Html {
  readonly markup: string;
}

/** A template whose values are escaped, but for those that are HTML already; undefined leaves nothing. */
export function html(parts: TemplateStringsArray, ...values: readonly (Html | string | undefined)[]): Html {
  const filled = parts.map((part, index) => {
    const value = values[index];
    return part + (value === undefined ? '' : typeof value === 'string' ? escape(value) : value.markup);
  });
  return { markup: filled.join('') };
}

export function each<Item>(items: readonly Item[], markup: (item: Item) => Html): Html {
  return { markup: items.map((item) => markup(item).markup).join('') };
}

function escape(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? '');
}

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#1a2330;background:#fff}label{display:block;margin:.8rem 0 .2rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.45rem .6rem;border:1px solid #9aa7b4;border-radius:6px}button{font:inherit;margin:1rem .5rem 0 0;padding:.45rem 1rem;border:1px solid #0b5cad;border-radius:6px;background:#0b5cad;color:#fff;cursor:pointer}button.plain{background:#fff;color:#0b5cad}.fault{border-left:4px solid #b3261e;padding:.3rem .8rem;background:#fdecea}.code{font:600 1.5rem ui-monospace,monospace;letter-spacing:.1em}li{margin:.2rem 0}';
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

export const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  // Without any referrer a browser would send `origin: null` with our own forms.
  'referrer-policy': 'same-origin',
  'cache-control': 'no-store',
} as const;

export function pageText(title: string, body: Html, fault?: string): string {
  const told = fault === undefined ? undefined : html`<p class="fault" role="alert">${fault}</p>`;
  return `<!doctype html>${
    html`<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title} · Subcloud</title><style>${{ markup: STYLE }}</style><h1>${title}</h1>${told}${body}</html>`
      .markup
  }\n`;
}
