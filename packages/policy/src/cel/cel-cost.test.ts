import { expect, it } from 'vitest';
import { compileCel } from './cel-expression.ts';
import type { CelValue } from './cel-table.ts';
import { NODE_VARIABLES } from './node-variables.ts';

const expression = (text: string) => {
  const compiled = compileCel(text, NODE_VARIABLES);
  if (!compiled.ok) throw new Error(compiled.message);
  return compiled.expression;
};

it.each([
  ['true', 1],
  ['node.gpu.count >= 2', 5],
  ['node.labels.rack != "r7" && node.gpu.count >= 2', 5 + 1 + 5],
  ['node.gpu.vramGiB.all(v, v >= 79)', 4 + 256 * 5],
  ['["a", "b"].exists(x, x == "a")', 1 + 3 + 2 * 5],
  ['"DE" in ["DE", "FR"]', 1 + 1 + 3 + 2],
  ['"lab/small" in node.models', 1 + 1 + 2 + 256],
  ['node.id.contains("x")', 1 + 2 + 1 + 8],
])('%s costs at most %d steps', (text, steps) => expect(expression(text).steps).toBe(steps));

it('a longer list is never gone through: what reads it has no value', () => {
  const models = (length: number): CelValue => Array.from({ length }, () => 'lab/small');
  const all = expression('node.models.all(m, m == "lab/small")');
  const answer = (length: number) => all.evaluate((path) => (path === 'node.models' ? models(length) : undefined));
  expect(answer(256)).toBe(true);
  expect(answer(257)).toBeUndefined();
});

it('variables are read no more often than an expression has steps', () => {
  const list: CelValue = Array.from({ length: 256 }, () => 'a');
  for (const text of [
    'node.models.all(m, m != node.id)',
    'node.models.filter(m, m in node.gpu.models).size() > 0',
    'node.models.exists(m, m == "b" || node.gpu.models.size() > 300)',
    '(node.id == "x" ? node.id : node.operator) == node.id',
  ]) {
    let reads = 0;
    const { steps, evaluate } = expression(text);
    evaluate((path) => {
      reads += 1;
      return path === 'node.models' || path === 'node.gpu.models' ? list : 'x';
    });
    expect([text, reads <= steps, reads > 0]).toEqual([text, true, true]);
  }
});
