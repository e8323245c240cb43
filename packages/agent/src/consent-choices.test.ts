import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { consentSchema } from '@subcloud/contract/vocabulary';
import { expect, onTestFinished, test } from 'vitest';
import { chooseJoin, chooseLeave, choicesPath, readChoices, withChoices } from './consent-choices.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'agent-choices-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  writeFileSync(join(path, 'node.json'), '{}');
  return path;
}

test('what was chosen on the machine wins over flags and file, name by name, and the last word counts', () => {
  const at = folder();
  const file = consentSchema.parse({ join: ['lab', 'eu'], leave: ['ads', 'old'], autoJoin: 'all' });
  expect(withChoices(file, readChoices(at))).toBe(file);
  chooseLeave(at, 'lab');
  chooseJoin(at, 'ads', 'isolate');
  expect(withChoices(file, readChoices(at))).toMatchObject({
    autoJoin: 'all',
    global: true,
    join: ['eu', { name: 'ads', isolation: 'isolate' }],
    leave: ['old', 'lab'],
  });
  chooseJoin(at, 'lab');
  chooseLeave(at, 'global');
  expect(withChoices(file, readChoices(at))).toMatchObject({ global: false, leave: ['old'] });
  expect(withChoices(file, readChoices(at)).join).toContain('lab');
  chooseJoin(at, 'global');
  expect(withChoices({ ...file, global: false }, readChoices(at)).global).toBe(true);
});

test('whatever is chosen is a consent that control accepts', () => {
  const at = folder();
  for (const name of ['a', 'b']) chooseLeave(at, name);
  chooseJoin(at, 'a');
  const consent = withChoices(consentSchema.parse({ leave: ['a'] }), readChoices(at));
  expect(consentSchema.parse(JSON.parse(JSON.stringify(consent)))).toMatchObject({ join: ['a'], leave: ['b'] });
});

test('a broken file is refused, not taken for no choice: it may have held a no', () => {
  const at = folder();
  for (const text of ['', '{', '{"version":1}', '{"version":1,"global":null,"join":[],"leave":[],"more":1}']) {
    writeFileSync(choicesPath(at), text);
    expect(() => readChoices(at)).toThrow('is damaged');
    expect(() => chooseJoin(at, 'lab')).toThrow('is damaged');
  }
});
