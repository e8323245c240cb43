/** The head of a forwarded request, checked: method, path and the labels that the gateway put on it. */
import type { IncomingHttpHeaders } from 'node:http2';
import { AppError } from '@subcloud/contract/errors';
import { FORWARDED_PATHS, REQUEST_HEADERS } from '@subcloud/contract/inference';
import { LINK_CONTINUES, LINK_HEADERS } from '@subcloud/contract/link';
import { RECEIPT_SALT, RECEIPT_SALT_HEADER } from '@subcloud/contract/receipts';

export interface RequestHead {
  readonly path: string;
  readonly pool: string;
  /** Network id. */
  readonly model: string;
  /** Of the table that the gateway picked by. */
  readonly tableVersion: number;
  readonly requestId: string;
  /** It goes on with an answer that another engine began: only one that can do that may have it. */
  readonly continues: boolean;
  /** Of the hashes in its receipt, hex; undefined: its gateway keeps none. */
  readonly salt: string | undefined;
  /** What of the headers an engine may see. */
  readonly headers: Readonly<Record<string, string>>;
}

const MAX_LABEL_CHARS = 256;

/** Throws AppError. */
export function readRequestHead(headers: IncomingHttpHeaders): RequestHead {
  const path = headers[':path'] ?? '';
  // Compared whole: a path with a query, dots, doubled or encoded slashes is no member of the set, so there is nothing
  // to normalise and no second reading of it that an engine could make.
  if (!FORWARDED_PATHS.has(path)) throw new AppError('client.not_found', { message: 'This path is not forwarded.' });
  if (headers[':method'] !== 'POST') throw new AppError('client.method_not_allowed');
  const forwarded: Record<string, string> = {};
  for (const name of REQUEST_HEADERS) {
    const value = headers[name];
    if (typeof value === 'string') forwarded[name] = value;
  }
  return {
    ...readLabels(headers),
    path,
    continues: isContinuation(headers[LINK_HEADERS.continues]),
    salt: saltOf(headers),
    headers: forwarded,
  };
}

/** What the gateway says of the request. Throws AppError. */
export function readLabels(
  headers: IncomingHttpHeaders,
): Pick<RequestHead, 'pool' | 'model' | 'tableVersion' | 'requestId'> {
  const table = label(headers, LINK_HEADERS.table);
  if (!/^\d{1,15}$/.test(table)) throw new AppError('client.invalid_request', { param: LINK_HEADERS.table });
  return {
    pool: label(headers, LINK_HEADERS.pool),
    model: label(headers, LINK_HEADERS.model),
    tableVersion: Number(table),
    requestId: label(headers, LINK_HEADERS.request),
  };
}

/** A question in words that are not known is not taken for another one. */
function isContinuation(value: unknown): boolean {
  if (value === undefined || value === LINK_CONTINUES) return value !== undefined;
  throw new AppError('client.invalid_request', { param: LINK_HEADERS.continues });
}

/** Undefined where the gateway keeps no receipt. */
export function saltOf(headers: IncomingHttpHeaders): string | undefined {
  const value = headers[RECEIPT_SALT_HEADER];
  return typeof value === 'string' && RECEIPT_SALT.test(value) ? value : undefined;
}

function label(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  if (typeof value !== 'string' || value === '' || value.length > MAX_LABEL_CHARS) {
    throw new AppError('client.invalid_request', {
      message: `The header ${name} is missing or not usable.`,
      param: name,
    });
  }
  return value;
}
