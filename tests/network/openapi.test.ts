/** The document that tools read: whole, for every route, and from the running network. */
import { expect, test } from 'vitest';
import { controlRoutes } from '@subcloud/contract/routes/control';
import { startTestNetwork } from '@subcloud/testkit/test-network';

test('the OpenAPI 3.1 document and the readable reference have every route', async () => {
  await using network = await startTestNetwork();
  const response = await fetch(`${network.url}/api/v1/openapi.json`);
  expect(response.status).toBe(200);
  const document = (await response.json()) as {
    openapi: string;
    paths: Record<string, Record<string, { operationId: string; responses: object }>>;
  };
  expect(document.openapi).toMatch(/^3\.1\./);
  const docs = await (await fetch(`${network.url}/docs`)).text();
  for (const [name, route] of Object.entries(controlRoutes)) {
    const operation = document.paths[route.path]?.[route.method];
    expect(operation?.operationId, route.path).toBe(name);
    expect(Object.keys(operation?.responses ?? {})).toContain(String(route.status));
    expect(docs).toContain(`id="${name}"`);
  }
});
