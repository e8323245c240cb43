/** The APIs by which makes of engines tell of themselves: recorded answers to them, byte for byte. */
import type { IncomingMessage, ServerResponse } from 'node:http';

type Answer =
  /** The body as recorded. */
  string | ((asked: { readonly body: unknown }, response: ServerResponse) => void);

/** By method and path, as `GET /props` or `POST /api/show`. */
export type EngineAnswers = Readonly<Record<string, Answer>>;

/** Asked of any server to tell what it is; without an answer here they do not exist, as in an engine of another make. */
const QUESTIONS = new Set([
  'GET /version',
  'GET /model_info',
  'GET /get_model_info',
  'GET /server_info',
  'GET /get_server_info',
  'GET /props',
  'POST /apply-template',
  'GET /info',
  'GET /api/v0/models',
  'GET /api/tags',
  'GET /api/version',
  'GET /api/ps',
  'POST /api/show',
  'GET /metrics',
]);
const MAX_BODY_BYTES = 65_536;

/** False: the request is none of these. */
export async function answerQuestion(
  request: IncomingMessage,
  response: ServerResponse,
  script: { readonly answers: EngineAnswers; readonly questions: string[] },
): Promise<boolean> {
  const question = `${request.method ?? ''} ${request.url ?? ''}`;
  const answer = Object.hasOwn(script.answers, question) ? script.answers[question] : undefined;
  if (answer === undefined && !QUESTIONS.has(question)) return false;
  if (question !== 'GET /v1/models') script.questions.push(question);
  const body = await readJson(request);
  if (answer === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain' });
    response.end('404 page not found');
  } else if (typeof answer === 'string') {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(answer);
  } else answer({ body }, response);
  return true;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const part of request) {
    text += String(part);
    if (text.length > MAX_BODY_BYTES) return undefined;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
