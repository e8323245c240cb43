/** The report stream as lines: bounded reading, bounded writing. A peer that does not read is cut, not waited for. */
import type { ServerHttp2Stream } from 'node:http2';
import {
  type AgentMessage,
  type GatewayMessage,
  LINK_MAX_REPORT_LINE_BYTES,
  gatewayMessage,
} from '@subcloud/contract/link';
import { jsonLine, jsonLineReader } from '@subcloud/kit/json-lines';

/** Beyond this much unread, the gateway is taken for dead. */
const MAX_UNSENT_BYTES = 8_388_608;
/** JSON inside JSON: a document of 1 MiB, escaped, and the line around it. */
const MAX_LINE_BYTES = LINK_MAX_REPORT_LINE_BYTES * 2;

export interface ReportStream {
  send(message: AgentMessage): void;
  end(): void;
}

export function openReportStream(
  stream: ServerHttp2Stream,
  on: { readonly message: (message: GatewayMessage) => void; readonly broken: (reason: string) => void },
): ReportStream {
  let open = true;
  const fail = (reason: string): void => {
    if (!open) return;
    open = false;
    on.broken(reason);
  };
  const reader = jsonLineReader({
    maxLineBytes: MAX_LINE_BYTES,
    onLine(value) {
      const parsed = gatewayMessage.safeParse(value);
      if (parsed.success) on.message(parsed.data);
      else fail('the gateway sent a line that this agent does not know');
    },
  });
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    if (!open) return;
    try {
      reader.push(chunk);
    } catch (error) {
      fail(error instanceof Error ? error.message : 'the report stream broke');
    }
  });
  stream.on('close', () => fail('the gateway closed the report stream'));
  stream.on('end', () => fail('the gateway ended the report stream'));
  stream.respond({ ':status': 200, 'content-type': 'application/x-ndjson' });
  return {
    send(message) {
      if (!open || stream.destroyed) return;
      stream.write(jsonLine(message));
      if (stream.writableLength > MAX_UNSENT_BYTES) fail('the gateway does not read the report stream');
    },
    end() {
      open = false;
      if (!stream.destroyed) stream.end();
    },
  };
}
