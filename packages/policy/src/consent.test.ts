import { describe, expect, it } from 'vitest';
import {
  type Consent,
  type ConsentQuestion,
  NO_CONSENT,
  consentSchema,
  consentsByName,
  consentsToAutoJoin,
  offersModel,
  refuses,
  shareOf,
} from './consent.ts';

const question = (more: Partial<ConsentQuestion> = {}): ConsentQuestion => ({
  name: 'lab',
  owner: 'org:acme',
  isolation: 'shared',
  ...more,
});
const consent = (more: Partial<Consent>): Consent => ({ ...NO_CONSENT, ...more });

describe('an operator who says nothing', () => {
  it('serves the global network and no Subcloud', () => {
    expect(consentSchema.parse({})).toEqual({ global: true, autoJoin: 'none', isolation: 'shared', join: [] });
  });

  it('has, before its agent has declared anything, consented to nothing at all', () => {
    expect(NO_CONSENT.global).toBe(false);
    expect(consentsByName(NO_CONSENT, question())).toBe(false);
    expect(consentsToAutoJoin(NO_CONSENT, question())).toBe(false);
  });
});

describe('consent to auto-join', () => {
  it('covers all, or the owners that are listed, or none', () => {
    expect(consentsToAutoJoin(consent({ autoJoin: 'all' }), question())).toBe(true);
    expect(consentsToAutoJoin(consent({ autoJoin: 'none' }), question())).toBe(false);
    expect(consentsToAutoJoin(consent({ autoJoin: { owners: ['org:acme'] } }), question())).toBe(true);
    expect(consentsToAutoJoin(consent({ autoJoin: { owners: ['org:acme'] } }), question({ owner: 'org:birch' }))).toBe(
      false,
    );
    expect(consentsToAutoJoin(consent({ autoJoin: { owners: [] } }), question())).toBe(false);
  });

  it.each([
    ['shared', 'shared', true],
    ['shared', 'isolate', false],
    ['shared', 'exclusive', false],
    ['isolate', 'shared', true],
    ['isolate', 'isolate', true],
    ['isolate', 'exclusive', false],
    ['exclusive', 'isolate', true],
    ['exclusive', 'exclusive', false],
  ] as const)('up to %s: a Subcloud that is %s may take the node: %s', (isolation, wanted, may) => {
    expect(consentsToAutoJoin(consent({ autoJoin: 'all', isolation }), question({ isolation: wanted }))).toBe(may);
  });

  it('is not consent by name, nor the other way round', () => {
    expect(consentsByName(consent({ autoJoin: 'all' }), question())).toBe(false);
    expect(consentsToAutoJoin(consent({ join: ['lab'] }), question())).toBe(false);
  });
});

describe('consent by name', () => {
  it('covers that name alone', () => {
    expect(consentsByName(consent({ join: ['lab'] }), question())).toBe(true);
    expect(consentsByName(consent({ join: ['lab2', 'la'] }), question())).toBe(false);
  });

  it('covers as much isolation as the general rule, or as the entry says', () => {
    const isolating = question({ isolation: 'isolate' });
    expect(consentsByName(consent({ join: ['lab'] }), isolating)).toBe(false);
    expect(consentsByName(consent({ join: ['lab'], isolation: 'isolate' }), isolating)).toBe(true);
    expect(consentsByName(consent({ join: [{ name: 'lab', isolation: 'isolate' }] }), isolating)).toBe(true);
    // The long form can say less than the general rule, too.
    expect(
      consentsByName(consent({ join: [{ name: 'lab', isolation: 'shared' }], isolation: 'exclusive' }), isolating),
    ).toBe(false);
  });
});

describe('what the schema does not recognise', () => {
  it.each([
    ['an unknown key', { gloabl: true }],
    ['a rule that is none', { autoJoin: 'some' }],
    ['a CEL rule, which comes later', { autoJoin: { cel: 'true' } }],
    ['an owner that is no principal', { autoJoin: { owners: ['acme'] } }],
    ['an isolation that is none', { isolation: 'full' }],
    ['a name that is no DNS label', { join: ['Lab'] }],
    ['an entry with more than it may say', { join: [{ name: 'lab', isolation: 'shared', models: [] }] }],
    ['more entries than are read', { join: Array(257).fill('lab') }],
    ['no object', 'all'],
  ])('%s is refused', (_, given) => {
    expect(consentSchema.safeParse(given).success).toBe(false);
  });
});

describe('a rule of the operator', () => {
  const where = (text: string): Consent => consent({ autoJoin: { where: text } });
  const lab = question({ labels: { team: 'clinical' }, models: ['acme/**'] });

  it.each([
    ['subcloud.name == "lab"', true],
    ['subcloud.owner.startsWith("org:")', true],
    ['subcloud.isolation == "isolate"', false],
    ['subcloud.labels.team == "clinical"', true],
    ['subcloud.labels.tier == "gold"', false],
    ['"acme/**" in subcloud.models', true],
    ['subcloud.models.all(model, model.startsWith("acme/"))', true],
  ])('admits by what it says: %s', (text, admits) => {
    expect(consentsToAutoJoin(where(text), lab)).toBe(admits);
  });

  it('takes no more isolation than `isolation` allows, and no private models, whatever it says', () => {
    expect(consentsToAutoJoin(where('true'), { ...lab, isolation: 'isolate' })).toBe(false);
    expect(consentsToAutoJoin({ ...where('true'), isolation: 'isolate' }, { ...lab, isolation: 'isolate' })).toBe(true);
    expect(consentsToAutoJoin({ ...where('true'), isolation: 'exclusive' }, { ...lab, private: true })).toBe(false);
  });

  it('does not hold where what it asks for is not known', () => {
    expect(consentsToAutoJoin(where('subcloud.labels.team != "ads"'), question())).toBe(false);
    expect(consentsToAutoJoin(where('subcloud.models.size() >= 0'), question())).toBe(false);
  });

  it.each([
    'subcloud.name.matches("l.*")',
    'subcloud.secret == "x"',
    'node.id == "nod_1"',
    'subcloud.models.exists(a, subcloud.models.exists(b, a == b))',
    '"yes"',
    'subcloud.name ==',
    '',
    'x'.repeat(4_097),
  ])('is refused when it is saved if it is none: %s', (text) => {
    expect(consentSchema.safeParse({ autoJoin: { where: text } }).success).toBe(false);
  });

  it('that was stored and can no longer be read is no consent', () => {
    expect(consentsToAutoJoin(where('subcloud.gone'), lab)).toBe(false);
  });
});

describe('a no by name', () => {
  it('wins over every yes', () => {
    const no = consent({ autoJoin: 'all', join: ['lab'], leave: ['lab'] });
    expect([refuses(no, 'lab'), consentsByName(no, question()), consentsToAutoJoin(no, question())]).toEqual([
      true,
      false,
      false,
    ]);
    expect(consentsToAutoJoin(no, question({ name: 'other' }))).toBe(true);
  });
});

describe('private models', () => {
  it('need a yes by name that covers exclusive', () => {
    const secret = question({ private: true });
    expect(consentsByName(consent({ join: ['lab'] }), secret)).toBe(false);
    expect(consentsByName(consent({ join: [{ name: 'lab', isolation: 'isolate' }] }), secret)).toBe(false);
    expect(consentsByName(consent({ join: [{ name: 'lab', isolation: 'exclusive' }] }), secret)).toBe(true);
    expect(consentsByName(consent({ join: ['lab'], isolation: 'exclusive' }), secret)).toBe(true);
    expect(consentsToAutoJoin(consent({ autoJoin: 'all', isolation: 'exclusive' }), secret)).toBe(false);
  });
});

describe('what is offered in a pool', () => {
  const some = consentSchema.parse({ pools: { lab: { models: ['acme/*', 'tiny'] }, global: {} } });

  it('is what the operator lists there, and all where it lists nothing', () => {
    const offers = offersModel(some, 'lab');
    expect(['acme/a', 'acme/a/b', 'tiny', 'tiny2'].map((id) => offers?.(id))).toEqual([true, false, true, false]);
    expect([offersModel(some, 'global'), offersModel(some, 'other'), offersModel(some, 'constructor')]).toEqual([
      null,
      null,
      null,
    ]);
  });

  it('may be a share of what the node takes at once: more than nothing, with its sign', () => {
    const given = consentSchema.parse({ pools: { lab: { share: '12.5%' }, other: {} } });
    expect(['lab', 'other', 'third'].map((pool) => shareOf(given, pool))).toEqual([0.125, undefined, undefined]);
    for (const share of [0.5, '0%', '101%', '50', null])
      expect(consentSchema.safeParse({ pools: { lab: { share } } }).success).toBe(false);
  });
});
