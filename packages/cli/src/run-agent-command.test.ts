import { expect, test } from 'vitest';
import { statusLines } from './run-agent-command.ts';

test('each state is told once, when it begins', () => {
  let linked = false;
  let models: string[] = [];
  let pools: string[] = [];
  const told: string[] = [];
  const status = statusLines({ linked: () => linked, models: () => models, pools: () => pools }, (line) =>
    told.push(line),
  );
  const step = (change: () => void): string[] => {
    change();
    status();
    status();
    return told.splice(0);
  };
  expect(step(() => undefined)).toEqual(['No engine offers a model yet.', 'Dialling…']);
  expect(step(() => (models = ['a', 'b']))).toEqual(['Models: a, b']);
  expect(step(() => (linked = true))).toEqual(['Linked: requests can come.']);
  expect(step(() => (pools = ['eu-only', 'global']))).toEqual(['Pools: eu-only, global']);
  expect(step(() => (linked = false))).toEqual(['The link is down; dialling again.']);
  expect(step(() => (pools = []))).toEqual(['Pools: none']);
});
