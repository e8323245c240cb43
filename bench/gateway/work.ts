/** The work that gateways are compared by: what is asked, what the engines answer, and how a whole answer is known. */
export const EVENTS = 64;
export const DELAY_MS = 60;
export const CONNECTIONS = 32;

const text = 'Hello! How can I help you today? '.repeat(3).trim();

export const SHORT_ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1_730_000_000,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 20, completion_tokens: 30, total_tokens: 50 },
});

export function eventOf(index: number): string {
  const choices = [{ index: 0, delta: { content: `tok${index} ` }, finish_reason: null }];
  const event = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_730_000_000, model: 'm', choices };
  return `data: ${JSON.stringify(event)}\n\n`;
}

export type Work = 'short' | 'stream' | 'paced';
/** Also that of the engine behind the latency part. */
export type Kind = Work | 'delayed';

/** One engine a kind, told apart by the model alone: names of one length, so that all bodies are. */
export const MODEL_OF: Readonly<Record<Kind, string>> = {
  short: 'm-short',
  stream: 'm-strea',
  paced: 'm-paced',
  delayed: 'm-delay',
};

export function bodyOf(kind: Kind): string {
  return JSON.stringify({
    model: MODEL_OF[kind],
    messages: [
      { role: 'system', content: 'You are helpful.' },
      { role: 'user', content: 'Hello there. '.repeat(20) },
    ],
    max_tokens: 64,
    ...(kind === 'short' || kind === 'delayed' ? {} : { stream: true }),
  });
}

/** Undefined where the text is the whole answer of that work, else what is wrong with it. */
export function faultOf(kind: Kind, status: number, answer: string): string | undefined {
  if (status !== 200) return `status ${status}: ${answer.slice(0, 200)}`;
  if (kind === 'short' || kind === 'delayed') return answer === SHORT_ANSWER ? undefined : 'another answer';
  const events = answer.split('\n\n').filter((event) => event !== '');
  if (events.length !== EVENTS + 1) return `${events.length} events`;
  return events.at(-1) === 'data: [DONE]' ? undefined : 'no [DONE]';
}
