import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileCel } from './cel-expression.ts';
import type { CelValue } from './cel-table.ts';
import { NODE_VARIABLES } from './node-variables.ts';

const KNOWN: Readonly<Record<string, CelValue>> = {
  'node.id': 'nod_1',
  'node.labels': { rack: 'r3', 'tier/a': 'gold' },
  'node.gpu.count': 2n,
  'node.gpu.models': ['H100', 'H100'],
  'node.gpu.vramGiB': [79.6, 79.6],
  'node.models': ['lab/small'],
};

function answer(text: string, known = KNOWN): boolean | undefined | string {
  const compiled = compileCel(text, NODE_VARIABLES);
  return compiled.ok
    ? compiled.expression.evaluate((path) => (Object.hasOwn(known, path) ? known[path] : undefined))
    : compiled.message;
}

describe('an expression', () => {
  it.each([
    ['node.id == "nod_1"', true],
    ['node.labels.rack != "r7" && node.gpu.count >= 2', true],
    ['node.labels["tier/a"] in ["gold", "silver"]', true],
    ['node.gpu.vramGiB.all(v, v >= 79)', true],
    ['node.gpu.models.filter(m, m == "H100").size() >= 4', false],
    ['has(node.labels.rack) && !has(node.labels.floor)', true],
    ['node.models.exists(m, m.startsWith("lab/"))', true],
    ['node.gpu.count * 40 > 79.6', true],
  ] as const)('%s is %s', (text, value) => {
    expect(answer(text)).toBe(value);
  });

  it.each([
    ['node.location.country == "DE"', undefined],
    ['node.location.country != "DE"', undefined],
    ['!(node.location.country == "DE")', undefined],
    ['node.location.country == "DE" || node.gpu.count == 2', true],
    ['node.gpu.count == 3 && node.location.country == "DE"', false],
    ['node.location.country == "DE" && node.gpu.count == 3', false],
    ['node.location.country == "DE" && node.gpu.count == 2', undefined],
    ['node.location.country == "DE" ? true : true', undefined],
    ['node.labels.floor != "1"', undefined],
    ['1 / (node.gpu.count - 2) > 0', undefined],
    ['node.gpu.count + 9223372036854775807 > 0', undefined],
    ['node.gpu.vramGiB[2] > 1.0', undefined],
  ] as const)('with something in it that is not known: %s is %s', (text, value) => {
    expect(answer(text)).toBe(value);
  });

  it('names the variables and the keys that it reads', () => {
    const compiled = compileCel(
      'node.labels.rack != "r7" && (node.uptime.d30 > 0.99 || "a" in node.models)',
      NODE_VARIABLES,
    );
    expect(compiled).toMatchObject({
      ok: true,
      expression: { variables: ['node.labels', 'node.models', 'node.uptime.d30'], keys: ['node.labels.rack'] },
    });
  });

  it('takes a value of another type, an overlong text and an overlong list for unknown', () => {
    expect(answer('node.id != ""', { 'node.id': 7n })).toBeUndefined();
    expect(answer('node.id != ""', { 'node.id': 'x'.repeat(513) })).toBeUndefined();
    expect(answer('node.models.size() > 0', { 'node.models': Array.from({ length: 257 }, () => 'a') })).toBeUndefined();
    expect(answer('node.models.size() == 256', { 'node.models': Array.from({ length: 256 }, () => 'a') })).toBe(true);
  });

  it('is evaluated in bounded time, whatever the node says and the expression asks', () => {
    const models = Array.from({ length: 256 }, () => 'a'.repeat(512));
    const needle = `b${'a'.repeat(240)}`;
    const asked = Array.from({ length: 14 }, () => `m.contains("${needle}")`).join(' || ');
    const compiled = compileCel(`node.models.exists(m, ${asked})`, NODE_VARIABLES);
    if (!compiled.ok) throw new Error(compiled.message);
    const startedMs = performance.now();
    expect(compiled.expression.evaluate(() => models)).toBe(false);
    // Some milliseconds; the bound is for a machine under load.
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });

  it('sees only own keys of a map', () => {
    expect(answer('has(node.labels.constructor) || "toString" in node.labels')).toBe(false);
    expect(answer('node.labels.constructor != ""')).toBeUndefined();
  });
});

describe('an expression is refused when it is saved', () => {
  it.each([
    ['', 'column 1: unexpected token: EOF'],
    ['node.id ==', 'column 11: unexpected token: EOF'],
    ['node.id == "a', 'column 12: unterminated string'],
    ['true &&\n  nod.id == "a"', 'line 2, column 3: there is no variable nod; did you mean node?'],
    ['location.country == "DE"', 'column 1: there is no variable location; did you mean node.location.country?'],
    ['banana', 'column 1: there is no variable banana'],
    ['node.locaton.country == "DE"', 'column 1: there is no node.locaton; did you mean location?'],
    ['node.gpu.banana == 1', 'column 1: there is no node.gpu.banana; it has count, models, vramGiB, confidential'],
    ['node.gpu == 1', 'column 1: node.gpu is a group: name one of its fields, count, models, vramGiB, confidential'],
    [
      'node["id"] == "a"',
      'column 1: node is a group: name one of its fields, id, operator, labels, location, operatorSeat, models, gpu, trust, uptime',
    ],
    ['node.id.country == "a"', "column 9: cannot index type 'string'"],
    ['node.id == 1', 'column 1: no such overload: string == int'],
    ['node.trust.level >= 2', 'column 1: no such overload: string >= int'],
    ['node.id', 'an expression says yes or no: its type must be bool, not string'],
    ['node.gpu.count', 'an expression says yes or no: its type must be bool, not int'],
    [
      'node.id.matches("(a+)+$")',
      'column 1: `matches` is not allowed, since a pattern can take for ever: use contains, startsWith or endsWith',
    ],
    ['node.id.startWith("a")', 'column 1: there is no function startWith; did you mean startsWith?'],
    ['dyn(node.id) == 1', 'column 1: there is no function dyn'],
    ['type(1) == int', 'column 1: there is no function type'],
    ['node.models.map(m, m) == ["a"]', 'column 1: there is no function map'],
    ['cel.bind(x, 1, x == 1)', 'column 1: there is no function bind'],
    ['node.models.all(m, node.models.exists(n, n == m))', 'column 20: `exists` stands inside another comprehension'],
    ['node.models.filter(m, true).all(m, true)', 'column 1: `all` of another comprehension'],
    ['node.models.all(node, node == "a")', 'column 17: `node` is taken: name the variable otherwise'],
    [
      'has(node.location.country)',
      'column 1: `has` asks for a key of a map; a fact that is not known makes the expression unknown',
    ],
    ['node.id == null', 'column 12: literals are texts, numbers, true and false'],
    ['node.id == b"a"', 'column 12: literals are texts, numbers, true and false'],
    ['1u < 2', 'column 1: literals are texts, numbers, true and false'],
    ['{"a": 1}.a == 1', 'column 1: maps and optional fields cannot be written here'],
  ])('%s', (text, message) => {
    expect(answer(text)).toBe(message);
  });

  it('of more characters, parts, levels or list entries than policies need', () => {
    expect(answer(`node.id == "${'a'.repeat(4_096)}"`)).toBe('an expression has at most 4096 characters, not 4109');
    expect(answer(Array.from({ length: 200 }, () => 'true').join(' && '))).toMatch(/^column \d+: exceeded maxAstNodes/);
    expect(answer(`${'('.repeat(60)}true${')'.repeat(60)}`)).toMatch(/^column \d+: exceeded maxDepth/);
    expect(answer(`${'!'.repeat(300)}true`)).toMatch(/^column \d+: exceeded/);
    expect(answer(`1 in [${Array.from({ length: 65 }, () => '1').join(', ')}]`)).toMatch(/^column \d+: exceeded/);
  });

  it('never throws, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 60, unit: 'binary' }), soup), (text) => {
        const compiled = compileCel(text, NODE_VARIABLES);
        if (compiled.ok) compiled.expression.evaluate(() => undefined);
        else expect(compiled.message).not.toBe('');
      }),
      { numRuns: 3_000 },
    );
  });
});

const soup = fc
  .array(
    fc.constantFrom(
      'node',
      '.',
      'id',
      'labels',
      '[',
      ']',
      '(',
      ')',
      '"a"',
      '1',
      '==',
      '&&',
      '!',
      '?',
      ':',
      'has',
      'all',
      ',',
      'x',
      '{',
      '}',
      '"',
      '\\',
      "'",
      '\n',
      'in',
      '-',
      'true',
      '__proto__',
      'r"',
      'b"',
      '.?',
    ),
    { maxLength: 16 },
  )
  .map((parts) => parts.join(''));
