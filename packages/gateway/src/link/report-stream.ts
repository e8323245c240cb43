/** The report stream of one link as messages: bounded lines in, bounded buffering out. */
import type { ClientHttp2Session } from 'node:http2';
import {
  type AgentMessage,
  type GatewayMessage,
  LINK_MAX_REPORT_LINE_BYTES,
  LINK_REPORT_PATH,
  agentMessage,
} from '@subcloud/contract/link';
import { jsonLine, jsonLineReader } from '@subcloud/kit/json-lines';

/** JSON inside JSON: a document of the largest size, escaped, and the line around it. */
const MAX_LINE_BYTES = LINK_MAX_REPORT_LINE_BYTES * 2;
/** An agent that leaves more than this unread is taken for dead. */
const MAX_UNSENT_BYTES = 8_388_608;

export interface ReportStream {
  send(message: GatewayMessage): void;
}

/** `broken` is called once, for whatever ends the stream; nothing is delivered after it. */
export function openReportStream(
  session: ClientHttp2Session,
  on: {
    readonly message: (message: AgentMessage) => void;
    readonly broken: (reason: string) => void;
    /** Bytes of each piece that came. */
    readonly heard: (bytes: number) => void;
  },
): ReportStream {
  const stream = session.request({ ':method': 'POST', ':path': LINK_REPORT_PATH }, { endStream: false });
  let open = true;
  const fail = (reason: string): void => {
    if (!open) return;
    open = false;
    on.broken(reason);
  };
  const reader = jsonLineReader({
    maxLineBytes: MAX_LINE_BYTES,
    onLine(value) {
      if (!open) return;
      const parsed = agentMessage.safeParse(value);
      if (parsed.success) on.message(parsed.data);
      else fail('the agent sent a line that this gateway does not know');
    },
  });
  stream.on('error', () => fail('the report stream broke'));
  stream.on('close', () => fail('the report stream closed'));
  stream.on('end', () => fail('the agent ended the report stream'));
  stream.on('response', (headers) => {
    if (headers[':status'] !== 200) fail('the agent refused the report stream');
  });
  stream.on('data', (chunk: Buffer) => {
    if (!open) return;
    on.heard(chunk.byteLength);
    try {
      reader.push(chunk);
    } catch (error) {
      fail(error instanceof Error ? error.message : 'the report stream broke');
    }
  });
  return {
    send(message) {
      if (!open || stream.destroyed) return;
      stream.write(jsonLine(message));
      if (stream.writableLength > MAX_UNSENT_BYTES) fail('the agent does not read the report stream');
    },
  };
}
