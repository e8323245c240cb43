/** Prompts are those of llama.cpp 0.4.0 with the demo model, as its `/apply-template` rendered them on 2026-11-25. */
import type { ServerResponse } from 'node:http';
import { silentLog } from '@subcloud/kit/log';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { recorded } from '@subcloud/testkit/recorded-engines';
import { type EngineAnswers, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { expect, onTestFinished, test } from 'vitest';
import { createEngineFleet } from './engine-fleet.ts';

interface Asked {
  readonly messages: readonly {
    readonly role: string;
    readonly content: string;
    readonly reasoning_content?: string;
  }[];
  readonly continue_final_message?: boolean | string;
}
type Render = (asked: Asked) => string | undefined;

const OPENED = '<|user|>Say it.<|end|><|assistant|>';
const begun = ({ messages }: Asked): string => messages.find(({ role }) => role === 'assistant')?.content ?? '';

const RENDERS: Readonly<Record<string, readonly [boolean, Render]>> = {
  'a build that knows the values by name': [
    true,
    (asked) => (asked.continue_final_message === 'reasoning_content' ? OPENED : OPENED + begun(asked)),
  ],
  'one before that, which may repeat what it goes on with': [false, (asked) => OPENED + begun(asked)],
  'one that takes the message for a whole one': [
    false,
    (asked) => (begun(asked) === '' ? OPENED : `<|user|>Say it.<|end|><|assistant|>${begun(asked)}<|end|>`),
  ],
  'a template that begins the message a second time': [
    false,
    (asked) => (begun(asked) === '' ? OPENED : `${OPENED}${begun(asked)}<|end|><|assistant|>`),
  ],
  'a template that thinks first': [
    false,
    (asked) => (begun(asked) === '' ? `${OPENED}<think>` : `${OPENED}<think></think>${begun(asked)}`),
  ],
  'a template that trims': [false, (asked) => OPENED + begun(asked).slice(0, -1)],
  'a server that refuses': [false, (asked) => (begun(asked) === '' ? OPENED : undefined)],
  'a server that does not render': [false, () => undefined],
};

const props = (more: object): string =>
  JSON.stringify({ ...(JSON.parse(recorded('llama-cpp/props-ftype.json')) as object), ...more });

/** A fleet with one such server. */
async function watched(render: Render, more: object = {}) {
  const answers = (changed: object, rendering = render): EngineAnswers => ({
    'GET /v1/models': recorded('llama-cpp/models-one.json'),
    'GET /props': props(changed),
    'POST /apply-template'({ body }: { readonly body: unknown }, response: ServerResponse) {
      const prompt = rendering(body as Asked);
      response.writeHead(prompt === undefined ? 400 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(prompt === undefined ? { error: { code: 400 } } : { prompt }));
    },
  });
  const engine = await startScriptedEngine({ models: [], answers: answers(more) });
  const clock = controllableClock();
  const fleet = createEngineFleet({ clock, log: silentLog });
  onTestFinished(async () => {
    await fleet.close();
    await engine.close();
    clock[Symbol.dispose]();
  });
  await fleet.use([{ url: engine.url, models: {} }]);
  const [model] = fleet.facts();
  return {
    continues: () => fleet.pick(model?.id ?? '', true) !== undefined,
    serves: () => fleet.pick(model?.id ?? '') !== undefined,
    asked: () => engine.questions.filter((question) => question === 'POST /apply-template').length,
    async later(changed: object, rendering = render): Promise<void> {
      engine.setAnswers(answers(changed, rendering));
      clock.advance(61_000);
      await fleet.look();
    },
  };
}

test.each(Object.entries(RENDERS))('%s', async (_what, [continues, render]) => {
  const { continues: does, serves } = await watched(render);
  expect([does(), serves()]).toEqual([continues, true]);
});

const KNOWS = RENDERS['a build that knows the values by name']?.[1] ?? (() => undefined);

test.each(Object.entries(RENDERS))(
  'started again by the same build with other options, it is what it is now: %s',
  async (_what, [continues, render]) => {
    const server = await watched(KNOWS);
    await server.later({}, render);
    expect([server.continues(), server.serves()]).toEqual([continues, true]);
    await server.later({}, KNOWS);
    expect(server.continues()).toBe(true);
    await server.later({}, render);
    await server.later({ is_sleeping: true }, KNOWS);
    expect(server.continues()).toBe(continues);
  },
);

test('a server that sleeps is not woken by the question, and what it said before still holds', async () => {
  const sleeping = await watched(KNOWS, { is_sleeping: true });
  expect([sleeping.asked(), sleeping.continues(), sleeping.serves()]).toEqual([0, false, true]);
  await sleeping.later({ is_sleeping: false });
  expect(sleeping.continues()).toBe(true);
  const before = sleeping.asked();
  await sleeping.later({ is_sleeping: true });
  expect([sleeping.asked(), sleeping.continues()]).toEqual([before, true]);
});
