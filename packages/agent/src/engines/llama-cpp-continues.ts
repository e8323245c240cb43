/**
 * Whether a llama.cpp server goes on with an assistant's message exactly where that ends. That depends on its build, its
 * options and the model's chat template, so the server is asked what it would make of such a conversation; its
 * `/apply-template` renders it and computes nothing.
 *
 * `continue_final_message` is known since pull request 23012 (2026-05). Builds before 23089 (2026-05), which also gave it
 * its values by name, may repeat the message that they go on with, so a server that does not know those does not count.
 */
import { type Ask, isRecord } from './engine-make.ts';

const QUESTION = { role: 'user', content: 'Say it.' };
const BEGUN = 'It is said, an';
const THOUGHT = 'They ask.';

/** Undefined: it did not say. */
export async function continuesMessages(ask: Ask): Promise<boolean | undefined> {
  const opened = await rendered(ask, [QUESTION], {});
  if (opened === undefined) return undefined;
  const begun = [QUESTION, { role: 'assistant', content: BEGUN }];
  const going = await rendered(ask, begun, { continue_final_message: true, add_generation_prompt: false });
  if (going === undefined) return undefined;
  // Neither a second beginning of the message, nor an end of it, nor thoughts in front of it.
  if (going !== opened + BEGUN) return false;
  const thinking = [QUESTION, { role: 'assistant', content: BEGUN, reasoning_content: THOUGHT }];
  const byName = await rendered(ask, thinking, {
    continue_final_message: 'reasoning_content',
    add_generation_prompt: false,
  });
  return byName === undefined ? undefined : !byName.includes(BEGUN);
}

async function rendered(ask: Ask, messages: readonly object[], options: object): Promise<string | undefined> {
  const answer = await ask('/apply-template', { body: { messages, ...options } });
  const prompt = isRecord(answer) ? answer['prompt'] : undefined;
  return typeof prompt === 'string' && prompt !== '' ? prompt : undefined;
}
