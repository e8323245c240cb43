/**
 * Requests made from the network's own OpenAPI document, well-formed and not, over every route, as all kinds of callers.
 * No answer is a fault of ours, every answer is one that the document has, and none says what only we should know.
 */
import { setTimeout } from 'node:timers/promises';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { type Schema, nearly, valid } from './from-schema.ts';

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly schema: Schema;
}
interface Operation {
  readonly operationId: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>
  >;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: object;
}

export interface FuzzOptions {
  readonly url: string;
  readonly requests: number;
  readonly seed: number;
  /** By name; undefined: none is sent. */
  readonly credentials: Readonly<Record<string, string | undefined>>;
  /** Texts that no answer may hold. */
  readonly secrets: readonly string[];
  readonly onProgress?: (done: number) => void;
}
export interface FuzzReport {
  readonly requests: number;
  readonly byStatus: Readonly<Record<string, number>>;
  /** Each with the request, so that it can be sent again. */
  readonly faults: readonly string[];
  readonly routes: number;
}

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

const MAX_FAULTS = 20;
/** What only the inside says: stacks, files, SQL, drivers. */
const INSIDE =
  /\bat \S+ \(|node:internal|\.ts:\d|violates|duplicate key|syntax error at|select .* from |insert into |pg_|ECONN|ENOENT/i;
/** Answers of a path that no longer matches its route, or of the server in front of all routes. */
const OF_THE_SERVER: ReadonlySet<number> = new Set([400, 404, 405, 413, 414, 431]);

export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const document = (await (await fetch(`${options.url}/api/v1/openapi.json`)).json()) as Document;
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const conforms = conformance(document);
  const perRoute = Math.ceil(options.requests / operations.length);
  const byStatus: Record<string, number> = {};
  const faults: string[] = [];
  let done = 0;
  for (const [index, { path, method, operation }] of operations.entries()) {
    const requests = fc.sample(anyRequest(path, method, operation, options.credentials), {
      numRuns: perRoute,
      seed: options.seed + index,
    });
    for (const sent of requests) {
      const fault = await judge(options, operation, sent, byStatus, conforms);
      if (fault !== undefined && faults.length < MAX_FAULTS) faults.push(`${fault}: ${JSON.stringify(sent)}`);
      done += 1;
      if (done % 500 === 0) options.onProgress?.(done);
    }
  }
  return { requests: done, byStatus, faults, routes: operations.length };
}

function anyRequest(
  path: string,
  method: string,
  operation: Operation,
  credentials: FuzzOptions['credentials'],
): fc.Arbitrary<Sent> {
  const value = (parameter: Parameter): fc.Arbitrary<unknown> =>
    fc.oneof({ weight: 3, arbitrary: valid(parameter.schema) }, { weight: 1, arbitrary: nearly(parameter.schema) });
  const given = operation.parameters.map((parameter) =>
    fc.option(value(parameter), { freq: parameter.required ? 30 : 1, nil: undefined }),
  );
  const schema = operation.requestBody?.content['application/json']?.schema;
  const body: fc.Arbitrary<string | undefined> =
    schema === undefined
      ? fc.constant(undefined)
      : fc.oneof(
          { weight: 4, arbitrary: valid(schema).map((json) => JSON.stringify(json)) },
          { weight: 4, arbitrary: nearly(schema).map((json) => JSON.stringify(json)) },
          {
            weight: 1,
            arbitrary: fc.constantFrom('', '{', '[1,', '"\\ud800"', '{"a":1}{"b":2}', '\u0000', '[[[[[[[[', 'nul'),
          },
        );
  const type = fc.oneof(
    { weight: 12, arbitrary: fc.constant('application/json') },
    {
      weight: 1,
      arbitrary: fc.constantFrom('text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=latin1'),
    },
  );
  return fc
    .tuple(
      fc.tuple(...given),
      body,
      type,
      fc.constantFrom(...Object.values(credentials)),
      fc.constantFrom('', '', '', '&extra=1'),
    )
    .map(([values, text, contentType, credential, more]) => {
      const headers: Record<string, string> = {
        ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
        ...(text === undefined ? {} : { 'content-type': contentType }),
      };
      const query = new URLSearchParams();
      let filled = path;
      operation.parameters.forEach((parameter, at) => {
        const raw = values[at];
        const said = typeof raw === 'string' ? raw : (JSON.stringify(raw) ?? '');
        if (parameter.in === 'path') filled = filled.replace(`{${parameter.name}}`, encoded(said));
        else if (raw === undefined) return;
        else if (parameter.in === 'query') query.append(parameter.name, said);
        else headers[parameter.name] = headerText(said);
      });
      const search = `${query.toString()}${query.size === 0 ? '' : more}`;
      return { method, path: search === '' ? filled : `${filled}?${search}`, headers, body: text };
    });
}

async function judge(
  { url, secrets }: FuzzOptions,
  operation: Operation,
  { method, path, headers, body }: Sent,
  byStatus: Record<string, number>,
  conforms: ReturnType<typeof conformance>,
): Promise<string | undefined> {
  let response = await fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
  let text = await response.text();
  // On a machine that stalls, control may not be able to prove for a moment that it leads: any client asks again then.
  for (let attempt = 0; attempt < 50 && text.includes('"platform.standby"'); attempt += 1) {
    await setTimeout(100);
    response = await fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
    text = await response.text();
  }
  const { status } = response;
  byStatus[status] = (byStatus[status] ?? 0) + 1;
  if (status >= 500) return `${operation.operationId}: ${status} ${text.slice(0, 300)}`;
  const secret = secrets.find((one) => text.includes(one));
  if (secret !== undefined) return `${operation.operationId}: says what only we know`;
  if (status >= 400 && INSIDE.test(text)) return `${operation.operationId}: tells of its inside: ${text.slice(0, 300)}`;
  if (operation.responses[status] === undefined)
    return OF_THE_SERVER.has(status)
      ? undefined
      : `${operation.operationId}: ${status} is not in the document: ${text.slice(0, 200)}`;
  const problem = conforms(operation.operationId, status, text);
  return problem === undefined
    ? undefined
    : `${operation.operationId}: ${status} is not as in the document: ${problem}`;
}

/** What is wrong with an answer by the document; undefined: nothing. */
function conformance(document: Document): (operationId: string, status: number, text: string) => string | undefined {
  const ajv = new Ajv2020({ strict: false });
  addFormats.default(ajv);
  const schemas = new Map<string, ValidateFunction>();
  for (const methods of Object.values(document.paths))
    for (const { operationId, responses } of Object.values(methods))
      for (const [status, { content }] of Object.entries(responses)) {
        const schema = content?.['application/json']?.schema;
        if (schema === undefined) continue;
        schemas.set(`${operationId} ${status}`, ajv.compile({ ...schema, components: document.components }));
      }
  return (operationId, status, text) => {
    const validate = schemas.get(`${operationId} ${status}`);
    if (validate === undefined) return undefined;
    try {
      return validate(JSON.parse(text)) ? undefined : ajv.errorsText(validate.errors);
    } catch {
      return `not JSON: ${text.slice(0, 100)}`;
    }
  };
}

/** What is not a Unicode text cannot be sent as one; a path segment of dots alone would be another path. */
function encoded(text: string): string {
  const segment = encodeURIComponent(text.toWellFormed());
  return /^\.*$/.test(segment) ? '%20' : segment;
}

/** A header takes bytes of Latin-1 without controls. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').trim();
}
