/**
 * Added latency: short answers of a 60 ms engine, asked for at a fixed rate whether or not earlier ones have come (an
 * open loop), through the gateway and of the engine itself in turns of a second each. Raw sockets, so that the client
 * costs little of the machine that it shares with what it measures.
 */
import { type Socket, connect } from 'node:net';
import { type Kind, SHORT_ANSWER, bodyOf } from './work.ts';

const KIND: Kind = 'delayed';
const TURN_MS = 1_000;
const GIVE_UP_MS = 10_000;

export interface Quantiles {
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

export interface Latency {
  readonly requests: number;
  readonly errors: number;
  readonly direct: Quantiles;
  readonly gateway: Quantiles;
  readonly addedP50Ms: number;
  readonly addedP99Ms: number;
}

export async function measureLatency(options: {
  readonly gatewayUrl: string;
  readonly engineUrl: string;
  readonly key: string;
  readonly perSecond: number;
  readonly turns: number;
}): Promise<Latency> {
  const direct = new OpenLoop(options.engineUrl, options.key);
  const gateway = new OpenLoop(options.gatewayUrl, options.key);
  // Connections are opened and code is compiled before anything counts.
  for (const loop of [direct, gateway, direct, gateway]) await loop.turn(options.perSecond, false);
  for (let turn = 0; turn < options.turns; turn += 1) {
    // Who comes first changes, so that neither always follows the other.
    for (const loop of turn % 2 === 0 ? [direct, gateway] : [gateway, direct]) await loop.turn(options.perSecond, true);
  }
  direct.close();
  gateway.close();
  const [fromEngine, fromGateway] = [quantiles(direct.timesMs), quantiles(gateway.timesMs)];
  return {
    requests: gateway.timesMs.length,
    errors: direct.errors + gateway.errors,
    direct: fromEngine,
    gateway: fromGateway,
    addedP50Ms: round(fromGateway.p50Ms - fromEngine.p50Ms),
    addedP99Ms: round(fromGateway.p99Ms - fromEngine.p99Ms),
  };
}

/** Asks at a fixed rate, whether or not earlier answers have come. */
export class OpenLoop {
  readonly #port: number;
  readonly #question: Buffer;
  readonly #idle: Connection[] = [];
  readonly timesMs: number[] = [];
  errors = 0;

  constructor(url: string, key: string) {
    const { port, host } = new URL(url);
    this.#port = Number(port);
    const body = bodyOf(KIND);
    const head = [
      'POST /v1/chat/completions HTTP/1.1',
      `host: ${host}`,
      'content-type: application/json',
      `authorization: Bearer ${key}`,
      `content-length: ${Buffer.byteLength(body)}`,
    ];
    this.#question = Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
  }

  /** Asks for TURN_MS, evenly, and resolves when all answers are in. */
  async turn(perSecond: number, counts: boolean): Promise<void> {
    const startedMs = performance.now();
    const total = (perSecond * TURN_MS) / 1_000;
    const answers: Promise<void>[] = [];
    await new Promise<void>((resolve) => {
      const tick = (): void => {
        const due = Math.min(total, Math.ceil(((performance.now() - startedMs) * perSecond) / 1_000));
        while (answers.length < due) answers.push(this.#ask(counts));
        if (answers.length < total) setTimeout(tick, 1);
        else resolve();
      };
      tick();
    });
    await Promise.all(answers);
  }

  async #ask(counts: boolean): Promise<void> {
    const connection = this.#idle.pop() ?? new Connection(this.#port);
    const fault = await connection.ask(this.#question);
    if (fault === undefined) this.#idle.push(connection);
    else this.errors += 1;
    if (counts && fault === undefined) this.timesMs.push(connection.tookMs);
  }

  close(): void {
    for (const connection of this.#idle) connection.close();
  }
}

/** One question at a time. */
class Connection {
  readonly #socket: Socket;
  #seen = '';
  #startedMs = 0;
  #answered: ((fault: string | undefined) => void) | undefined;
  tookMs = 0;

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text: string) => this.#take(text));
    this.#socket.on('error', (error) => this.#done(error.message));
    this.#socket.on('close', () => this.#done('closed'));
  }

  ask(question: Buffer): Promise<string | undefined> {
    return new Promise((resolve) => {
      const giveUp = setTimeout(() => this.#done('no answer in time'), GIVE_UP_MS);
      this.#answered = (fault) => {
        clearTimeout(giveUp);
        resolve(fault);
      };
      this.#seen = '';
      this.#startedMs = performance.now();
      this.#socket.write(question);
    });
  }

  #take(text: string): void {
    this.#seen += text;
    const headEnd = this.#seen.indexOf('\r\n\r\n');
    if (headEnd === -1 || this.#seen.length < headEnd + 4 + SHORT_ANSWER.length) return;
    const whole = this.#seen.startsWith('HTTP/1.1 200') && this.#seen.slice(headEnd + 4) === SHORT_ANSWER;
    this.#done(whole ? undefined : this.#seen.slice(0, 200));
  }

  #done(fault: string | undefined): void {
    const answered = this.#answered;
    if (answered === undefined) return;
    this.#answered = undefined;
    this.tookMs = performance.now() - this.#startedMs;
    if (fault !== undefined) this.#socket.destroy();
    answered(fault);
  }

  close(): void {
    this.#socket.destroy();
  }
}

export function quantiles(timesMs: readonly number[]): Quantiles {
  const sorted = [...timesMs].sort((a, b) => a - b);
  const at = (share: number): number =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99), p999Ms: at(0.999) };
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
