import fc from 'fast-check';
import { expect, test } from 'vitest';
import { commonVersion, versionFault, versionRange } from './versions.ts';

const range = fc
  .tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 3 }))
  .map(([oldest, more]) => ({ oldest, newest: oldest + more }));

test('the highest version that both speak is taken, whoever asks; where there is none the lower side is to be upgraded', () => {
  fc.assert(
    fc.property(range, range, (one, other) => {
      const spoken = (of: typeof one): number[] =>
        Array.from({ length: of.newest - of.oldest + 1 }, (_, index) => of.oldest + index);
      const both = spoken(one).filter((version) => spoken(other).includes(version));
      expect(commonVersion(one, other)).toBe(both.at(-1));
      expect(commonVersion(other, one)).toBe(both.at(-1));
      if (both.length > 0) return;
      const fault = versionFault('link', { name: 'the peer', range: one }, { name: 'this', range: other });
      expect(fault.details.upgrade).toBe(one.newest < other.oldest ? 'the peer' : 'this');
      expect(fault.message).toMatch(/^the peer speaks link \d+.*, this \d+.*: upgrade (the peer|this)$/);
      expect(fault.message).toContain(String(one.newest));
      expect(fault.message).toContain(String(other.newest));
    }),
  );
});

test('releases N-1 to N+1 that each speak their own version and the one before always find one', () => {
  for (let release = 1; release < 20; release += 1) {
    const own = { oldest: release - 1, newest: release };
    expect(commonVersion(own, { oldest: release - 2, newest: release - 1 })).toBe(release - 1);
    expect(commonVersion(own, own)).toBe(release);
    expect(commonVersion(own, { oldest: release, newest: release + 1 })).toBe(release);
    expect(commonVersion(own, { oldest: release + 1, newest: release + 2 })).toBeUndefined();
    expect(commonVersion(own, { oldest: release - 3, newest: release - 2 })).toBeUndefined();
  }
});

test('what a peer says of its versions is read strictly: nothing odd becomes a version', () => {
  expect(versionRange('2', '1')).toEqual({ oldest: 1, newest: 2 });
  expect(versionRange('2', undefined)).toEqual({ oldest: 2, newest: 2 });
  expect(versionRange('2', null)).toEqual({ oldest: 2, newest: 2 });
  for (const odd of ['', ' 1', '1.0', '-1', '1e3', '0x1', '99999999', 'NaN', undefined, null, 1, ['1', '1'], '1, 1'])
    expect(versionRange(odd, undefined), String(odd)).toBeUndefined();
  for (const odd of ['', 'x', '3', ['1']]) expect(versionRange('2', odd), String(odd)).toBeUndefined();
});
