/**
 * The OpenAPI 3.1 document, derived from the contract's routes. OpenAPI 3.1 takes JSON Schema 2020-12 as it is, so zod's
 * own conversion is all that is needed; what JSON Schema cannot say (a refinement) stands in the error of the request.
 */
import { ERROR_CODES, type ErrorCodeName } from '@subcloud/contract/errors';
import { controlRoutes } from '@subcloud/contract/routes/control';
import { BODY_ERRORS, COMMON_ERRORS, WRITE_ERRORS, type RouteSpec } from '@subcloud/contract/routes/route';
import { carriesWithdrawal } from '@subcloud/contract/routes/withdrawal-status';
import * as z from 'zod';
import { isWrite } from '../audit/audited-writes.ts';
import { readerOf } from './preconditions.ts';

const errorEnvelope = z.strictObject({
  error: z.strictObject({
    message: z.string(),
    type: z.string(),
    code: z.string(),
    param: z.string().nullable(),
    details: z.unknown(),
  }),
});

const UNCONFIRMED = 'Stored; the gateways under `outstanding` may still go by the old rule until their leases end';

type Json = Record<string, unknown>;

/** The document's maker; the document is made once, at the first call. */
export function openApiDocument(version: string): () => Json {
  let document: Json | undefined;
  return () => (document ??= makeDocument(version));
}

function makeDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const [name, route] of Object.entries(controlRoutes) as [string, RouteSpec][]) {
    paths[route.path] = { ...paths[route.path], [route.method]: operation(name, route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Subcloud control API',
      version,
      description: 'Inference is OpenAI-compatible under /v1 and /s/NAME/v1 on the same port.',
    },
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: { Error: schemaOf(errorEnvelope, 'output') },
    },
  };
}

function operation(name: string, route: RouteSpec): Json {
  const takesCredential = route.auth === 'credential';
  return {
    operationId: name,
    summary: route.summary,
    tags: [route.action.split('.')[0] ?? ''],
    ...(takesCredential ? { security: [{ bearer: [] }] } : {}),
    parameters: [...parameters('path', route.params), ...parameters('query', route.query), ...headerParameters(route)],
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: true, content: json(schemaOf(route.body, 'input')) } }),
    responses: {
      [route.status]: {
        description: route.summary,
        content: {
          ...json(schemaOf(route.response, 'output')),
          // Of each event the data; 3.1 has no word for a stream of them.
          ...(route.stream === undefined ? {} : { 'text/event-stream': { schema: schemaOf(route.stream, 'output') } }),
        },
      },
      ...(carriesWithdrawal(route.response)
        ? { 202: { description: UNCONFIRMED, content: json(schemaOf(route.response, 'output')) } }
        : {}),
      ...errorResponses([
        ...route.errors,
        ...(isWrite(route) ? WRITE_ERRORS : []),
        ...(route.body === undefined ? [] : BODY_ERRORS),
      ]),
    },
  };
}

function parameters(where: 'path' | 'query', schema: z.ZodObject | undefined): Json[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(schema, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, inner]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    schema: inner,
  }));
}

function errorResponses(own: readonly ErrorCodeName[]): Record<string, Json> {
  const byStatus = new Map<number, string[]>();
  for (const code of [...COMMON_ERRORS, ...own]) {
    const { status } = ERROR_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const content = json({ $ref: '#/components/schemas/Error' });
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [String(status), { description: codes.join(', '), content }]),
  );
}

function json(schema: Json): Json {
  return { 'application/json': { schema } };
}

/** What the general rules of the API take of a write. */
function headerParameters(route: RouteSpec): Json[] {
  if (!isWrite(route)) return [];
  const header = (name: string, description: string, maxLength: number): Json => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string', maxLength },
  });
  const checkable = route.method !== 'post' && readerOf(route) !== undefined;
  return [
    header('idempotency-key', 'The same request sent again with its key gets the same answer and does nothing.', 255),
    header('x-subcloud-reason', 'Why, for the audit log; percent-encoded.', 4_608),
    ...(checkable ? [header('if-match', 'The etag that was read; 412 where it is no longer that.', 1_024)] : []),
  ];
}

/** Shared by the document and the readable reference. */
export function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}
