import { describe, expect, it } from 'vitest';
import {
  type Consent,
  type ConsentQuestion,
  NO_CONSENT,
  consentSchema,
  consentsByName,
  consentsToAutoJoin,
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
    ['exclusive', 'exclusive', true],
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
