/** The kinds of request of a soak, how often each comes, and what its answer must be. */
import type { Chance } from '../hostile/chance.ts';
import type { Ask, Reply } from './caller.ts';
import { MODELS, type Order, usageOf, vectorOf, VISITOR_MODEL, wordsOf } from './engine.ts';

export interface Credentials {
  /** Of an account. */
  readonly key: string;
  /** Of the Subcloud `soak`. */
  readonly token: string;
  /** Of the same, for chat alone. */
  readonly chatToken: string;
  readonly revoked: string;
}

export interface Planned {
  readonly ask: Ask;
  /** What is wrong with the answer, in words; undefined: nothing. */
  readonly fault: (reply: Reply) => string | undefined;
  /** Of a whole answer. Without it the request leaves no usage record that is compared. */
  readonly tokens?: { readonly prompt: number; readonly completion: number };
  /** Callers may leave it half done. */
  readonly long: boolean;
}

export interface Kind {
  readonly name: string;
  /** Parts of all requests. */
  readonly parts: number;
  plan(nonce: string, chance: Chance, credentials: Credentials): Planned;
}

const IMAGE =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const TOOLS = [{ type: 'function', function: { name: 'look', parameters: { type: 'object', properties: {} } } }];

const CHAT = '/v1/chat/completions';
const inSoak = (path: string): string => `/s/soak${path}`;
const says = (content: unknown): unknown => [{ role: 'user', content }];
const tokensOf = (order: Order): Planned['tokens'] => {
  const { prompt_tokens: prompt, completion_tokens: completion } = usageOf(order);
  return { prompt, completion };
};

/** Global pool or Subcloud, by the credential that opens it. */
function place(chance: Chance, path: string, { key, token }: Credentials): Pick<Ask, 'path' | 'credential'> {
  return chance.chance(0.5) ? { path, credential: key } : { path: inSoak(path), credential: token };
}

interface Chat {
  readonly name: string;
  readonly parts: number;
  readonly stream: boolean;
  readonly model?: string;
  readonly tools?: boolean;
  readonly image?: boolean;
  readonly order?: (chance: Chance) => Partial<Order>;
}

function chat({ name, parts, stream, model = MODELS.chat, tools = false, image = false, order: more }: Chat): Kind {
  return {
    name,
    parts,
    plan(nonce, chance, credentials) {
      const order: Order = { nonce, words: 1 + chance.below(40), ...more?.(chance) };
      const text = JSON.stringify(order);
      const parts = [
        { type: 'text', text },
        { type: 'image_url', image_url: { url: IMAGE } },
      ];
      const body = JSON.stringify({
        model,
        stream,
        ...(stream && chance.chance(0.5) ? { stream_options: { include_usage: true } } : {}),
        ...(tools ? { tools: TOOLS } : {}),
        // Some are long, so that bodies of several sizes come by.
        messages: [...filler(chance), ...(says(image ? parts : text) as object[])],
      });
      const expected = tools ? JSON.stringify({ words: wordsOf(order) }) : wordsOf(order).join('');
      return {
        ask: { method: 'POST', ...place(chance, CHAT, credentials), body },
        fault: answers((reply) => (stream ? streamedText(reply.text, tools) : wholeText(reply.text, tools)), expected),
        tokens: tokensOf(order) ?? { prompt: 0, completion: 0 },
        long: true,
      };
    },
  };
}

function filler(chance: Chance): object[] {
  if (!chance.chance(0.1)) return [];
  return [{ role: 'system', content: 'x'.repeat(chance.below(200_000)) }];
}

function completion(stream: boolean): Kind {
  return {
    name: stream ? 'completion, streamed' : 'completion',
    parts: 3,
    plan(nonce, chance, credentials) {
      const order: Order = { nonce, words: 1 + chance.below(40) };
      const body = JSON.stringify({ model: MODELS.chat, stream, prompt: JSON.stringify(order) });
      const text = ({ text: all }: Reply): string =>
        stream
          ? eventsOf(all)
              .map((event) => event.choices?.[0]?.text ?? '')
              .join('')
          : ((JSON.parse(all) as Chunk).choices?.[0]?.text ?? '');
      return {
        ask: { method: 'POST', ...place(chance, '/v1/completions', credentials), body },
        fault: answers(text, wordsOf(order).join('')),
        tokens: tokensOf(order) ?? { prompt: 0, completion: 0 },
        long: true,
      };
    },
  };
}

/** A refusal by its code; bytes of the engine's own words where `code` is undefined. */
function refused(status: number, code: string | undefined): Planned['fault'] {
  return (reply) => {
    const found = codeOf(reply.text);
    return reply.status === status && reply.whole && (code === undefined || found === code)
      ? undefined
      : `${status} ${code ?? ''} expected, ${said(reply)}`;
  };
}

const simple = (
  name: string,
  parts: number,
  plan: (nonce: string, chance: Chance, credentials: Credentials) => Pick<Planned, 'ask' | 'fault'> & Partial<Planned>,
): Kind => ({
  name,
  parts,
  plan: (nonce, chance, credentials) => ({ long: false, ...plan(nonce, chance, credentials) }),
});

const ask = (body: object | string, credential: string | undefined, path = CHAT): Ask => ({
  method: 'POST',
  path,
  credential,
  body: typeof body === 'string' ? body : JSON.stringify(body),
});
const plainChat = (nonce: string, model: string = MODELS.chat): object => ({
  model,
  messages: says(JSON.stringify({ nonce, words: 3 })),
});

const API_PATH = '/s/soak/apis/echo/words/';

export const KINDS: readonly Kind[] = [
  chat({ name: 'short answer', parts: 20, stream: false, order: (chance) => ({ words: 1 + chance.below(8) }) }),
  chat({ name: 'stream', parts: 16, stream: true }),
  chat({ name: 'paced stream', parts: 12, stream: true, order: (chance) => ({ paceMs: 5 + chance.below(30) }) }),
  chat({ name: 'slow answer', parts: 6, stream: false, order: (chance) => ({ waitMs: chance.below(800) }) }),
  chat({ name: 'tools', parts: 4, stream: false, tools: true }),
  chat({ name: 'tools, streamed', parts: 4, stream: true, tools: true }),
  chat({ name: 'image', parts: 3, stream: false, image: true, model: MODELS.image }),
  chat({ name: 'image, streamed', parts: 3, stream: true, image: true, model: MODELS.image }),
  completion(false),
  completion(true),
  simple('embedding', 6, (nonce, chance, credentials) => {
    const order: Order = { nonce, words: 16 };
    const body = { model: MODELS.embedding, input: JSON.stringify(order) };
    const vector = ({ text }: Reply): string => JSON.stringify((JSON.parse(text) as Chunk).data?.[0]?.embedding);
    const { path, credential } = place(chance, '/v1/embeddings', credentials);
    const tokens = { prompt: usageOf(order).prompt_tokens, completion: 0 };
    return { ask: ask(body, credential, path), fault: answers(vector, JSON.stringify(vectorOf(order))), tokens };
  }),
  simple('internal API, read', 3, (nonce, _chance, { token }) => ({
    ask: { method: 'GET', path: `${API_PATH}${nonce}`, credential: token },
    fault: answers(({ text }) => text, `GET /words/${nonce} `),
    tokens: { prompt: 0, completion: 0 },
  })),
  simple('internal API, write', 3, (nonce, chance, { token }) => {
    const body = JSON.stringify({ nonce, text: 'y'.repeat(chance.below(50_000)) });
    return {
      ask: ask(body, token, `${API_PATH}${nonce}`),
      fault: answers(({ text }) => text, `POST /words/${nonce} ${body}`),
      tokens: { prompt: 0, completion: 0 },
      long: true,
    };
  }),
  simple('list of models', 2, (_nonce, chance, credentials) => ({
    ask: { method: 'GET', ...place(chance, '/v1/models', credentials) },
    fault: (reply) => (reply.status === 200 && reply.text.includes(MODELS.chat) ? undefined : said(reply)),
  })),
  simple('bad: no JSON', 2, (_nonce, _chance, { key }) => ({
    ask: ask('{"model": "soak-chat", "messages": [', key),
    fault: refused(400, 'client.invalid_body'),
  })),
  simple('bad: unknown model', 2, (nonce, _chance, { key }) => ({
    ask: ask(plainChat(nonce, 'nobody/has-it'), key),
    fault: refused(404, 'routing.unknown_model'),
  })),
  simple('bad: wrong method', 1, (_nonce, _chance, { key }) => ({
    ask: { method: 'DELETE', path: CHAT, credential: key },
    fault: refused(405, 'client.method_not_allowed'),
  })),
  simple('refused: no credential', 1, (nonce) => ({
    ask: ask(plainChat(nonce), undefined),
    fault: refused(401, undefined),
  })),
  simple('refused: revoked', 2, (nonce, _chance, { revoked }) => ({
    ask: ask(plainChat(nonce), revoked, inSoak(CHAT)),
    fault: refused(401, undefined),
  })),
  simple('refused: outside its scope', 1, (nonce, _chance, { chatToken }) => ({
    ask: { method: 'GET', path: `${API_PATH}${nonce}`, credential: chatToken },
    fault: refused(403, 'policy.forbidden'),
  })),
  simple('refused: no such Subcloud', 1, (nonce, _chance, { key }) => ({
    ask: ask(plainChat(nonce), key, `/s/nowhere${CHAT}`),
    fault: refused(404, undefined),
  })),
  simple('engine breaks off', 1, (nonce, _chance, { key }) => ({
    ask: ask(
      { model: MODELS.chat, stream: true, messages: says(JSON.stringify({ nonce, words: 10, fault: 'cut' })) },
      key,
    ),
    fault: (reply) =>
      reply.status === 200 && reply.text.includes(`${nonce}.4 `) && reply.text.includes('"upstream.interrupted"')
        ? undefined
        : said(reply),
  })),
  simple('engine fails', 1, (nonce, _chance, { key }) => ({
    ask: ask({ model: MODELS.chat, messages: says(JSON.stringify({ nonce, words: 1, fault: '500' })) }, key),
    fault: refused(500, undefined),
  })),
  // Its node comes and goes: an answer is right, or there is none yet or no more.
  simple('visitor', 3, (nonce, _chance, { key }) => {
    const right = answers(({ text }) => wholeText(text, false), wordsOf({ nonce, words: 3 }).join(''));
    return {
      ask: ask(plainChat(nonce, VISITOR_MODEL), key),
      fault: (reply) => {
        if (reply.status === 200) return reply.whole ? right(reply) : undefined;
        const gone = ['routing.unknown_model', 'routing.no_eligible_node', 'upstream.failed', 'capacity.overloaded'];
        return gone.includes(codeOf(reply.text) ?? '') ? undefined : said(reply);
      },
      tokens: { prompt: usageOf({ nonce, words: 3 }).prompt_tokens, completion: 3 },
    };
  }),
];

function answers(read: (reply: Reply) => string, expected: string): Planned['fault'] {
  return (reply) => {
    if (reply.status !== 200 || !reply.whole) return said(reply);
    try {
      const text = read(reply);
      return text === expected ? undefined : `${JSON.stringify(text)} instead of ${JSON.stringify(expected)}`;
    } catch (error) {
      return `${String(error)} of ${said(reply)}`;
    }
  };
}

function said({ status, text, whole }: Reply): string {
  return `${status}${whole ? '' : ', broken off'}: ${text.slice(-300)}`;
}

function codeOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { code?: string } }).error?.code;
  } catch {
    return undefined;
  }
}

interface Chunk {
  readonly choices?: readonly {
    readonly text?: string;
    readonly message?: Message;
    readonly delta?: Message;
  }[];
  readonly data?: readonly { readonly embedding: readonly number[] }[];
}
interface Message {
  readonly content?: string | null;
  readonly tool_calls?: readonly { readonly function?: { readonly arguments?: string } }[];
}

function textOf(message: Message | undefined, tools: boolean): string {
  return (tools ? message?.tool_calls?.[0]?.function?.arguments : message?.content) ?? '';
}

function wholeText(text: string, tools: boolean): string {
  return textOf((JSON.parse(text) as Chunk).choices?.[0]?.message, tools);
}

function streamedText(text: string, tools: boolean): string {
  return eventsOf(text)
    .map((event) => textOf(event.choices?.[0]?.delta, tools))
    .join('');
}

/** Throws where the stream has no proper end. */
function eventsOf(text: string): readonly Chunk[] {
  const events = text.split('\n\n').filter((event) => event.startsWith('data: '));
  if (events.at(-1) !== 'data: [DONE]') throw new Error('no end');
  return events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)) as Chunk);
}
