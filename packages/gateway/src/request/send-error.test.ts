import { AppError } from '@subcloud/contract/errors';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { passableHeaders } from './attempt.ts';
import { retryHeaders } from './send-error.ts';

test('an engine that is busy and a gateway that is full tell a client to wait, or not to come back by itself, alike', () => {
  fc.assert(
    fc.property(fc.nat(1_000), fc.constantFrom(429, 503), (retryAfterS, status) => {
      const ours = retryHeaders(new AppError('capacity.overloaded', { retryAfterS }));
      expect(passableHeaders({ ':status': String(status), 'retry-after': String(retryAfterS) })).toEqual(ours);
      expect(ours['x-should-retry']).toBe(retryAfterS > 60 ? 'false' : undefined);
    }),
  );
});
