/**
 * An answer that several nodes gave, checked part by part: what each node signed against what the gateway says it received
 * from it, and the text that the caller has against what each is said to have said.
 */
import { hash } from 'node:crypto';
import type { RoutingHalf, ServingHalf } from '@subcloud/contract/receipts';

export type ContentCheck = 'same' | 'differs' | 'not checked';

/** A serving half, with what its certificate says of who signed it. */
export interface SignedPart {
  readonly half: ServingHalf;
  readonly pool: string;
  /** Pseudonym. */
  readonly node: string;
}

/** SHA-256 of salt and content, hex: what halves hold of request and answer. */
export function saltedHash(salt: string, content: Uint8Array): string {
  return hash('sha256', Buffer.concat([Buffer.from(salt, 'hex'), content]));
}

/** `last`: of the node that answered last, where it signed. */
export function faultsOfParts(
  { parts = [], node }: RoutingHalf,
  earlier: readonly SignedPart[],
  last: SignedPart | null,
): readonly string[] {
  const faults: string[] = [];
  if (parts.length > 0 && parts.at(-1)?.node !== node) faults.push('the last part is of another node');
  const before = parts.slice(0, -1);
  let from = 0;
  for (const signed of earlier) {
    const at = before.findIndex((part, index) => index >= from && part.node === signed.node);
    const part = before[at];
    if (part === undefined) {
      faults.push('a node signed for a part that the gateway does not have from it');
      continue;
    }
    from = at + 1;
    faults.push(...faultsOfPart(part, signed.half));
  }
  const ending = parts.at(-1);
  if (ending !== undefined && last !== null) faults.push(...faultsOfPart(ending, last.half));
  return faults;
}

/** A node may have sent more than arrived, where its link or its stream was gone first; never less. */
function faultsOfPart(
  { received, receivedBytes }: NonNullable<RoutingHalf['parts']>[number],
  { answer, answerBytes }: ServingHalf,
): readonly string[] {
  if (answerBytes === undefined || answerBytes < receivedBytes) return ['a node sent less than was received from it'];
  if (answerBytes === receivedBytes && answer !== received) return ['a node sent something else than was received'];
  return [];
}

/** Whether the text of a streamed answer is that of its parts, one after the other. Of one that broke off, nobody says how much of it arrived. */
export function checkParts(
  { parts, broken }: RoutingHalf,
  kept: { readonly salt: string; readonly answer?: Uint8Array | undefined } | undefined,
): ContentCheck {
  if (parts === undefined || broken === true || kept?.answer === undefined) return 'not checked';
  const text = Buffer.from(streamedText(Buffer.from(kept.answer).toString('utf8')));
  let at = 0;
  for (const part of parts) {
    if (saltedHash(kept.salt, text.subarray(at, at + part.textBytes)) !== part.text) return 'differs';
    at += part.textBytes;
  }
  return at === text.byteLength ? 'same' : 'differs';
}

/** What the events of a stream say, of chat or of completions; what is no such event says nothing. */
function streamedText(events: string): string {
  return events
    .split(/\r\n\r\n|\n\n/)
    .map((event) => {
      const lines = event.split(/\r\n|\n/).filter((line) => line.startsWith('data:'));
      return textOf(lines.map((line) => line.slice(5)).join('\n'));
    })
    .join('');
}

function textOf(data: string): string {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return '';
  }
  const { choices } = (value ?? {}) as { readonly choices?: unknown };
  const [choice] = (Array.isArray(choices) ? choices : []) as readonly {
    delta?: { content?: unknown };
    text?: unknown;
  }[];
  const text = choice?.delta?.content ?? choice?.text;
  return typeof text === 'string' ? text : '';
}
