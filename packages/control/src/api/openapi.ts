/** The OpenAPI 3.1 document, derived from the contract's routes. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import * as z from 'zod';
import { ERROR_CODES, type ErrorCodeName } from '@subcloud/contract/errors';
import { controlRoutes } from '@subcloud/contract/routes/control';
import { COMMON_ERRORS, type RouteSpec } from '@subcloud/contract/routes/route';

const errorEnvelope = z.strictObject({
  error: z.strictObject({
    message: z.string(),
    type: z.string(),
    code: z.string(),
    param: z.string().nullable(),
    details: z.unknown(),
  }),
});

/** Registers every route and returns the document's maker; it is made once, at the first call. */
export function registerOpenApi(app: OpenAPIHono, version: string): () => Record<string, unknown> {
  let document: Record<string, unknown> | undefined;
  for (const [name, spec] of Object.entries(controlRoutes) as [string, RouteSpec][]) {
    app.openAPIRegistry.registerPath({
      method: spec.method,
      path: spec.path,
      operationId: name,
      summary: spec.summary,
      tags: [spec.action.split('.')[0] ?? ''],
      ...(spec.auth === 'principal' || spec.auth === 'admin' ? { security: [{ bearer: [] }] } : {}),
      request: {
        ...(spec.params === undefined ? {} : { params: spec.params }),
        ...(spec.query === undefined ? {} : { query: spec.query }),
        ...(spec.body === undefined
          ? {}
          : { body: { required: true, content: { 'application/json': { schema: spec.body } } } }),
      },
      responses: {
        [spec.status]: { description: spec.summary, content: { 'application/json': { schema: spec.response } } },
        ...errorResponses(spec.errors),
      },
    });
  }
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  return () => {
    document ??= app.getOpenAPI31Document({
      openapi: '3.1.0',
      info: {
        title: 'Subcloud control API',
        version,
        description: 'Inference is OpenAI-compatible under /v1 and /s/NAME/v1 on the same port.',
      },
    }) as unknown as Record<string, unknown>;
    return document;
  };
}

function errorResponses(own: readonly ErrorCodeName[]): Record<string, { description: string; content: object }> {
  const byStatus = new Map<number, string[]>();
  for (const code of [...COMMON_ERRORS, ...own]) {
    const { status } = ERROR_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      { description: codes.join(', '), content: { 'application/json': { schema: errorEnvelope } } },
    ]),
  );
}
