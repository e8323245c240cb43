import * as z from 'zod';

/** Control has heard this gateway and says no: it does not know it, or has removed it. Trying again changes nothing. */
export class ControlRefusal extends Error {
  override readonly name = 'ControlRefusal';
}

/** Codes that say no for good, as against those of a moment. */
const REFUSALS: ReadonlySet<string> = new Set(['policy.gateway_refused', 'policy.join_refused', 'client.conflict']);

const envelope = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

/** What an answer that is no 2xx says, as an error. `ask` is what was asked for. */
export function answerError(ask: string, status: number, body: string): Error {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    value = undefined;
  }
  const fault = envelope.safeParse(value).data?.error;
  if (fault === undefined) return new Error(`control answered ${ask} with ${status}`);
  const text = `control answered ${ask} with ${status} ${fault.code}: ${fault.message}`;
  return REFUSALS.has(fault.code) ? new ControlRefusal(text) : new Error(text);
}
