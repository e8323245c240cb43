import { randomBytes } from 'node:crypto';
import { answers, codeOf, nodeRow, poolRow, startTestGateway, MODEL } from '@subcloud/testkit/test-gateway';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inputsOf, inputsOfInTurns } from './inputs-of.ts';

const found = (value: unknown, indent?: number) => {
  const bytes = Buffer.from(JSON.stringify(value, null, indent));
  return inputsOf(bytes, 0, bytes.byteLength);
};
const image = { type: 'image_url', image_url: { url: 'x' } };
const sound = { type: 'input_audio', input_audio: { data: 'x' } };

test('what a conversation has besides text is found wherever it stands, and words about it are not taken for it', () => {
  expect(found([{ role: 'user', content: 'look' }])).toBeUndefined();
  expect(found([{ role: 'user', content: [image] }])).toEqual(['image']);
  expect(found([{ role: 'user', content: [sound, image, image] }], 2)).toEqual(['image', 'audio']);
  expect(found([{ role: 'user', content: [{ video_url: { url: 'x' } }] }])).toEqual(['video']);
  for (const words of [
    'image_url',
    '{"image_url":{"url":"x"}}',
    '"image_url": ',
    JSON.stringify(JSON.stringify(image)),
  ]) {
    expect(found([{ role: 'user', content: words }])).toBeUndefined();
    expect(found([{ role: 'user', content: [{ type: 'text', text: words }] }])).toBeUndefined();
  }
  expect(found([{ role: 'tool', content: 'x', name: 'image_url' }])).toBeUndefined();
});

test('it agrees with a reader that parses, whatever the words are', () => {
  const part = fc.oneof(
    fc.record({ type: fc.constant('text'), text: fc.oneof(fc.string(), fc.constant('{"image_url":1}')) }),
    fc.constant(image),
    fc.constant(sound),
  );
  const messages = fc.array(fc.record({ role: fc.constant('user'), content: fc.array(part) }));
  fc.assert(
    fc.property(messages, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
      const types = new Set(value.flatMap(({ content }) => content.map(({ type }) => type)));
      const wanted = [...(types.has('image_url') ? ['image'] : []), ...(types.has('input_audio') ? ['audio'] : [])];
      const bytes = Buffer.from(JSON.stringify(value, null, indent));
      expect(inputsOf(bytes, 0, bytes.byteLength) ?? []).toEqual(wanted);
    }),
  );
});

test('in turns it finds the same, wherever a part of the body ends, and gives way between parts', async () => {
  const part = 1_048_576;
  const key = '"image_url"';
  for (let shift = 0; shift <= key.length + 4; shift += 1) {
    const head = '[{"content":[{"text":"';
    const filler = 'x'.repeat(part - head.length - 2 - shift);
    const body = Buffer.from(`${head}${filler}"},{${key} : {"url":"x"}}]}]${' '.repeat(part)}`);
    let turns = 0;
    const found = await inputsOfInTurns(body, 0, body.byteLength, async () => void (turns += 1));
    expect([found, turns]).toEqual([inputsOf(body, 0, body.byteLength), 2]);
    expect(found).toEqual(['image']);
  }
});

const ask = (...content: object[]) => ({ body: { model: MODEL, messages: [{ role: 'user', content }] } });

test('an image goes only where the model is known to take images; nobody is asked in vain', async () => {
  await using t = await startTestGateway();
  const blind = await t.node({ handler: answers() });
  const none = await t.call(ask(image));
  expect([none.status, codeOf(none)]).toEqual([400, 'client.unsupported_operation']);
  const seeing = await t.node({ handler: answers() });
  const inputs = (models: Record<string, readonly ('image' | 'audio')[]>) =>
    t.publish([nodeRow(seeing.id, seeing.key.publicKey, { inputs: models })]);
  await inputs({ other: ['image'] });
  expect(codeOf(await t.call(ask(image)))).toBe('client.unsupported_operation');
  await inputs({ [MODEL]: ['image'] });
  for (let round = 0; round < 8; round += 1) expect((await t.call(ask(image))).status).toBe(200);
  expect(blind.requests).toEqual([]);
  expect(seeing.requests).toHaveLength(8);
  const both = await t.call(ask(image, sound));
  expect([both.status, both.text]).toEqual([400, expect.stringContaining('image and audio')]);
  seeing.close();
  await seeing.closed;
  const away = await t.call(ask(image));
  expect([away.status, codeOf(away)]).toEqual([503, 'routing.no_eligible_node']);
  expect(away.text).toContain('modality');
  expect(blind.requests).toEqual([]);
});

test('where the pool does not have the model at all, that is what is said', async () => {
  await using t = await startTestGateway();
  await t.publish([poolRow('global', { models: [MODEL] })]);
  await t.node({});
  const unknown = await t.call({ body: { model: 'nobody-has-it', messages: [{ content: [image] }] } });
  expect(codeOf(unknown)).toBe('routing.unknown_model');
});

test('an image is found behind megabytes of other text', () => {
  const data = randomBytes(3_000_000).toString('base64');
  expect(found([{ role: 'user', content: [{ type: 'text', text: data }, image] }])).toEqual(['image']);
});
