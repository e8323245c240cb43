/** Calls to control over its private Unix socket. Answers are bounded; any failure is an Error, never a guess. */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';

const MAX_ANSWER_BYTES = 1_048_576;
const CALL_TIMEOUT_MS = 10_000;

export interface ControlClient {
  /** The parsed JSON of a 2xx answer. Throws on anything else, and when the signal aborts. */
  post(path: string, body: unknown): Promise<unknown>;
  /** The same for a body that is JSON text already. */
  postJson(path: string, json: string): Promise<unknown>;
  /** The answer to a GET that never ends. */
  open(path: string, onAnswer: (answer: IncomingMessage) => void, onFailure: (error: Error) => void): ClientRequest;
  close(): void;
}

export function controlClient(socketPath: string): ControlClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  return {
    post: (path, body) => post(agent, socketPath, path, JSON.stringify(body)),
    postJson: (path, json) => post(agent, socketPath, path, json),
    open(path, onAnswer, onFailure) {
      const call = request({ socketPath, path, method: 'GET', agent: false });
      call.on('error', onFailure);
      call.on('response', onAnswer);
      call.end();
      return call;
    },
    close: () => agent.destroy(),
  };
}

function post(agent: Agent, socketPath: string, path: string, text: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({
      agent,
      socketPath,
      path,
      method: 'POST',
      timeout: CALL_TIMEOUT_MS,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
    });
    call.on('timeout', () => call.destroy(new Error(`control did not answer ${path} in ${CALL_TIMEOUT_MS} ms`)));
    call.on('error', reject);
    call.on('response', (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.byteLength;
        if (bytes > MAX_ANSWER_BYTES) call.destroy(new Error(`control's answer to ${path} is too long`));
        else chunks.push(chunk);
      });
      answer.on('error', reject);
      answer.on('end', () => {
        const status = answer.statusCode ?? 0;
        if (status < 200 || status > 299) return reject(new Error(`control answered ${path} with ${status}`));
        try {
          resolve(bytes === 0 ? null : JSON.parse(Buffer.concat(chunks).toString('utf8')));
        } catch {
          reject(new Error(`control's answer to ${path} is not JSON`));
        }
      });
    });
    call.end(text);
  });
}
