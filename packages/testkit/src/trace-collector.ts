/**
 * What an OpenTelemetry collector does with OTLP over HTTP: a real server that decodes the protobuf of each export by the
 * numbers of opentelemetry/proto/trace/v1/trace.proto, and keeps the spans. It can be told to refuse, or not to answer.
 */
import { type IncomingHttpHeaders, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export type SpanValue = string | boolean | number;

export interface CollectedSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: a root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  readonly startMs: number;
  readonly endMs: number;
  readonly isError: boolean;
  readonly attributes: Readonly<Record<string, SpanValue>>;
}

export interface TraceCollector extends AsyncDisposable {
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  /** Of each export. */
  readonly requests: readonly { readonly headers: IncomingHttpHeaders; readonly body: Buffer }[];
  /** From now on: an HTTP status, or no answer at all. */
  answer: number | 'never';
}

export async function startTraceCollector(): Promise<TraceCollector> {
  const spans: CollectedSpan[] = [];
  const requests: { headers: IncomingHttpHeaders; body: Buffer }[] = [];
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      requests.push({ headers: request.headers, body });
      if (collector.answer === 'never') return;
      if (collector.answer === 200) spans.push(...decodeExport(body));
      response.writeHead(collector.answer, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const collector: TraceCollector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    answer: 200,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return collector;
}

type Field = { readonly number: number; readonly value: bigint | Buffer };

/** The fields of one message, in order; groups, which protobuf 3 has not, are a fault. */
function* fieldsOf(message: Buffer): Generator<Field> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (bytes: number): Buffer => message.subarray(at, (at += bytes));
  while (at < message.length) {
    const tag = Number(varint());
    const number = tag >> 3;
    switch (tag & 7) {
      case 0:
        yield { number, value: varint() };
        break;
      case 1:
        yield { number, value: take(8) };
        break;
      case 2:
        yield { number, value: take(Number(varint())) };
        break;
      case 5:
        yield { number, value: take(4) };
        break;
      default:
        throw new Error(`wire type ${tag & 7} of field ${number}`);
    }
  }
}

function parts(message: Buffer, number: number): Buffer[] {
  return [...fieldsOf(message)].flatMap((field) =>
    field.number === number && Buffer.isBuffer(field.value) ? [field.value] : [],
  );
}

function part(message: Buffer, number: number): Buffer {
  return parts(message, number).at(-1) ?? Buffer.alloc(0);
}

function whole(message: Buffer, number: number): bigint {
  const found = [...fieldsOf(message)].find((field) => field.number === number)?.value;
  return typeof found === 'bigint' ? found : 0n;
}

function decodeExport(body: Buffer): CollectedSpan[] {
  return parts(body, 1).flatMap((resourceSpans) => {
    const service = String(attributesOf(parts(part(resourceSpans, 1), 1))['service.name']);
    return parts(resourceSpans, 2).flatMap((scopeSpans) =>
      parts(scopeSpans, 2).map((span) => decodeSpan(span, service)),
    );
  });
}

const KINDS = { 1: 'internal', 2: 'server', 3: 'client' } as const;

function decodeSpan(span: Buffer, service: string): CollectedSpan {
  const kind = KINDS[Number(whole(span, 6)) as keyof typeof KINDS];
  return {
    service,
    traceId: part(span, 1).toString('hex'),
    spanId: part(span, 2).toString('hex'),
    parentSpanId: part(span, 4).toString('hex'),
    name: part(span, 5).toString(),
    kind,
    startMs: Number(part(span, 7).readBigUInt64LE()) / 1e6,
    endMs: Number(part(span, 8).readBigUInt64LE()) / 1e6,
    isError: whole(part(span, 15), 3) === 2n,
    attributes: attributesOf(parts(span, 9)),
  };
}

function attributesOf(pairs: readonly Buffer[]): Record<string, SpanValue> {
  return Object.fromEntries(pairs.map((pair) => [part(pair, 1).toString(), valueOf(part(pair, 2))]));
}

function valueOf(value: Buffer): SpanValue {
  const [field] = fieldsOf(value);
  if (field === undefined) return '';
  if (typeof field.value === 'bigint') return field.number === 2 ? field.value === 1n : Number(field.value);
  return field.number === 4 ? field.value.readDoubleLE() : field.value.toString();
}
