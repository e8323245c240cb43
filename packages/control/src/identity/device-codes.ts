/**
 * Codes by which a device without a browser signs in (the flow of RFC 8628). They are in memory only, so that nobody who
 * has not signed in makes control write anything: a restart of control ends them, and the device asks for another.
 */
import { randomInt } from 'node:crypto';
import type { Clock } from '@subcloud/kit/clock';
import { hashSecret, newSecret } from '@subcloud/kit/secrets';
import type { PrincipalId } from '@subcloud/policy/principal';

export interface DeviceCode {
  readonly userCode: string;
  readonly clientName: string;
  readonly expiresAtMs: number;
  /** Undefined: nobody has answered yet. */
  answer: { readonly approvedBy: PrincipalId } | 'refused' | undefined;
}

export interface DeviceCodes {
  /** Undefined: too many wait already. */
  start(clientName: string): { readonly deviceCode: string; readonly code: DeviceCode } | undefined;
  /** By what a person typed; in any case, with or without the hyphen. */
  byUserCode(text: string): DeviceCode | undefined;
  byDeviceCode(deviceCode: string): DeviceCode | undefined;
  /** It is used, or refused: it does not come back. */
  forget(deviceCode: string): void;
}

export const DEVICE_CODE_MS = 600_000;
export const POLL_INTERVAL_S = 2;
const MAX_CODES = 1_000;
/** No vowels, so no words; no letters or digits that look alike. 20^8 codes. */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';

export function createDeviceCodes(clock: Clock): DeviceCodes {
  /** By the hash of the device code: what is in memory opens nothing. */
  const codes = new Map<string, DeviceCode>();
  const live = (code: DeviceCode | undefined): DeviceCode | undefined =>
    code !== undefined && code.expiresAtMs > clock.nowMs() ? code : undefined;
  return {
    start(clientName) {
      const nowMs = clock.nowMs();
      for (const [hash, { expiresAtMs }] of codes) if (expiresAtMs <= nowMs) codes.delete(hash);
      if (codes.size >= MAX_CODES) return undefined;
      const deviceCode = newSecret('device');
      const code: DeviceCode = {
        userCode: newUserCode(),
        clientName,
        expiresAtMs: nowMs + DEVICE_CODE_MS,
        answer: undefined,
      };
      codes.set(hashSecret(deviceCode), code);
      return { deviceCode, code };
    },
    byUserCode(text) {
      const letters = text.toUpperCase().replaceAll(/[^A-Z]/g, '');
      const wanted = `${letters.slice(0, 4)}-${letters.slice(4)}`;
      return live([...codes.values()].find(({ userCode }) => userCode === wanted));
    },
    byDeviceCode: (deviceCode) => live(codes.get(hashSecret(deviceCode))),
    forget: (deviceCode) => void codes.delete(hashSecret(deviceCode)),
  };
}

function newUserCode(): string {
  const letters = Array.from({ length: 8 }, () => LETTERS[randomInt(LETTERS.length)] ?? '').join('');
  return `${letters.slice(0, 4)}-${letters.slice(4)}`;
}
