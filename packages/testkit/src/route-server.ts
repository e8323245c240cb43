import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import { type ControlRouteName, type ControlRoutes, controlRoutes } from '@subcloud/contract/routes/control';
import type { InputOf, OutputOf, RouteSpec } from '@subcloud/contract/routes/route';

/** For handlers that refuse. */
export { AppError } from '@subcloud/contract/errors';

type Handlers = {
  readonly [Name in ControlRouteName]?: (input: InputOf<ControlRoutes[Name]>) => OutputOf<ControlRoutes[Name]>;
};

export interface RouteServer extends AsyncDisposable {
  readonly url: string;
  /** Every request in order: the route, its input, and the credential that it carried. */
  readonly calls: readonly {
    readonly route: string;
    readonly input: unknown;
    readonly credential: string | undefined;
  }[];
}

/**
 * A control API that is made of the routes alone, for tests of what calls it: input and output are held to the route's
 * schemas, so that it cannot take or say what the real one would not. A handler throws AppError to refuse.
 */
export async function routeServer(handlers: Handlers): Promise<RouteServer> {
  const calls: { route: string; input: unknown; credential: string | undefined }[] = [];
  const server: Server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      let status = 200;
      let answer: unknown;
      try {
        const target = new URL(request.url ?? '/', 'http://control');
        const found = match(request.method ?? '', target);
        const body = Buffer.concat(parts).toString();
        const input = readInput(found, target, body);
        const credential = request.headers.authorization?.replace('Bearer ', '');
        calls.push({ route: found.name, input, credential });
        const handler = handlers[found.name as ControlRouteName] as ((input: unknown) => unknown) | undefined;
        if (handler === undefined) throw new AppError('client.not_found');
        answer = found.route.response.parse(handler(input));
        status = found.route.status;
      } catch (error) {
        const refusal = AppError.from(error);
        status = refusal.status;
        answer = toEnvelope(refusal);
      }
      response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': `req_${calls.length}` });
      response.end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Found {
  readonly name: string;
  readonly route: RouteSpec;
  readonly params: Readonly<Record<string, string>>;
}

function match(method: string, target: URL): Found {
  for (const [name, route] of Object.entries(controlRoutes)) {
    if (route.method !== method.toLowerCase()) continue;
    const pattern = new RegExp(`^${route.path.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`);
    const groups = pattern.exec(target.pathname);
    if (groups === null) continue;
    const params = Object.entries(groups.groups ?? {}).map(([key, value]) => [key, decodeURIComponent(value)] as const);
    return { name, route, params: Object.fromEntries(params) };
  }
  throw new AppError('client.not_found');
}

function readInput({ route, params }: Found, target: URL, body: string): Record<string, unknown> {
  return {
    ...(route.params === undefined ? {} : { params: route.params.parse(params) }),
    ...(route.query === undefined ? {} : { query: route.query.parse(Object.fromEntries(target.searchParams)) }),
    ...(route.body === undefined ? {} : { body: route.body.parse(JSON.parse(body)) }),
  };
}
