/**
 * Server-sent events, as far as the OpenAI protocol uses them: `data` and `event` fields, events ended by an empty line.
 * An event is bounded; a stream that goes beyond is broken, and throws.
 */
export interface SseEvent {
  readonly event: string;
  readonly data: string;
}

export interface SseParser {
  /** The events that are whole with these bytes, in order. Throws RangeError for an event beyond the limit. */
  push(chunk: Uint8Array): SseEvent[];
  /** The last `id` field of a block that is whole; empty where there was none. */
  readonly lastEventId: () => string;
}

export function sseParser(maxEventBytes: number): SseParser {
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  let event = '';
  let data: string[] = [];
  let heldLength = 0;
  let endsInReturn = false;
  let id = '';
  let lastId = '';
  return {
    lastEventId: () => lastId,
    push(chunk) {
      let text = decoder.decode(chunk, { stream: true });
      // A line may end in CR, LF or CRLF, and a CRLF may be cut by the network.
      if (endsInReturn && text.startsWith('\n')) text = text.slice(1);
      if (text !== '') endsInReturn = text.endsWith('\r');
      const lines = (rest + text).split(/\r\n|\r|\n/);
      rest = lines.pop() ?? '';
      const events: SseEvent[] = [];
      for (const line of lines) {
        heldLength += line.length;
        if (heldLength > maxEventBytes) break;
        if (line === '') {
          if (data.length > 0) events.push({ event: event === '' ? 'message' : event, data: data.join('\n') });
          lastId = id;
          event = '';
          data = [];
          heldLength = 0;
          continue;
        }
        const colon = line.indexOf(':');
        const field = colon === -1 ? line : line.slice(0, colon);
        const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
        if (field === 'data') data.push(value);
        else if (field === 'event') event = value;
        else if (field === 'id' && !value.includes('\0')) id = value;
      }
      if (heldLength + rest.length > maxEventBytes) {
        throw new RangeError(`an event of the stream is larger than ${maxEventBytes} bytes`);
      }
      return events;
    },
  };
}
