/** What signing in needs besides the store: limits, codes that wait, the OpenID provider. One for the process. */
import type { Clock } from '@subcloud/kit/clock';
import { type AttemptLimit, type SignInLimits, attemptLimit, signInLimits } from './attempt-limits.ts';
import { type DeviceCodes, createDeviceCodes } from './device-codes.ts';
import type { OidcProvider } from './oidc.ts';

export interface Identity {
  readonly signIns: SignInLimits;
  /** By account. */
  readonly userCodes: AttemptLimit;
  /** By address. */
  readonly deviceStarts: AttemptLimit;
  readonly devices: DeviceCodes;
  /** Undefined: none is configured. */
  readonly oidc: OidcProvider | undefined;
}

const MINUTE_MS = 60_000;

export function createIdentity(clock: Clock, oidc: OidcProvider | undefined): Identity {
  return {
    signIns: signInLimits(clock),
    userCodes: attemptLimit(clock, 10, 10 * MINUTE_MS),
    deviceStarts: attemptLimit(clock, 30, 10 * MINUTE_MS),
    devices: createDeviceCodes(clock),
    oidc,
  };
}
