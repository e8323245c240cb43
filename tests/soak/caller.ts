/** One caller's request over a real socket, to its end or to where the caller leaves. */
import { Agent, type ClientRequest, type IncomingHttpHeaders, request } from 'node:http';

export interface Ask {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly credential?: string | undefined;
  readonly body?: string | undefined;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** False: the connection ended before the answer did. */
  readonly whole: boolean;
}

/**
 * Where a caller leaves: in the middle of its body, before the head of the answer, in the middle of the answer; `half`: it
 * closes its own side once it has asked, and reads on.
 */
export const LEAVES = ['body', 'head', 'answer', 'half'] as const;
export type Leave = (typeof LEAVES)[number];

/** How it goes: with a FIN, or with a RST. */
export type Manner = 'close' | 'reset';

export interface Caller extends Disposable {
  /** Rejects where there was no answer at all. */
  call(ask: Ask, onData?: () => void): Promise<Reply>;
  /** With the answer, where `leave` is `half` and the gateway gave one. */
  abandon(ask: Ask, leave: Leave, manner: Manner): Promise<Reply | undefined>;
  /** Closes connections on which nothing is under way. */
  rest(): void;
}

const HEAD_WAIT_MS = 15;
const LIMIT_MS = 60_000;

export function createCaller(url: string): Caller {
  const { hostname, port } = new URL(url);
  let agent = new Agent({ keepAlive: true });

  const open = ({ method, path, credential, body }: Ask, kept: boolean): ClientRequest =>
    request({
      hostname,
      port,
      method,
      path,
      agent: kept ? agent : false,
      headers: {
        ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
    });

  const read = (asking: ClientRequest, onData?: () => void): Promise<Reply> =>
    new Promise((resolve, reject) => {
      asking.setTimeout(LIMIT_MS, () => asking.destroy(new Error(`silence for ${LIMIT_MS} ms`)));
      asking.on('error', reject);
      asking.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
          onData?.();
        });
        response.on('error', () => {});
        response.on('close', () => {
          const { statusCode: status = 0, headers, complete: whole } = response;
          resolve({ status, headers, text, whole });
        });
      });
    });

  const go = (asking: ClientRequest, manner: Manner): void => {
    if (manner === 'reset') asking.socket?.resetAndDestroy();
    asking.destroy();
  };

  return {
    call(ask, onData) {
      const asking = open(ask, true);
      const reply = read(asking, onData);
      asking.end(ask.body);
      return reply;
    },
    async abandon(ask, leave, manner) {
      const asking = open(ask, false);
      const reply = read(asking, () => {
        if (leave === 'answer') go(asking, manner);
      }).catch(() => undefined);
      const { body = '' } = ask;
      if (leave === 'body') {
        asking.write(body.slice(0, body.length / 2));
        await sleep(HEAD_WAIT_MS);
        go(asking, manner);
      } else {
        asking.end(body);
        if (leave === 'half') asking.once('finish', () => asking.socket?.end());
        if (leave === 'head') {
          await sleep(HEAD_WAIT_MS);
          go(asking, manner);
        }
      }
      const seen = await reply;
      return leave === 'half' ? seen : undefined;
    },
    rest() {
      agent.destroy();
      agent = new Agent({ keepAlive: true });
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
