import type { OutputFor } from '@subcloud/sdk/client';
import { fields, table } from './output.ts';

export function signingKeysText(found: OutputFor<'listSigningKeys'>): string {
  return [
    fields([
      ['network', found.networkId],
      ['fingerprint', found.fingerprint],
      ['network key', found.networkKey === 'here' ? 'here (keys/network.pem)' : 'offline'],
    ]),
    '',
    table(
      ['signing key', 'state', 'certified until'],
      found.keys.map(({ publicKey, state, notAfter }) => [publicKey, state, notAfter ?? 'waits for `certify`']),
    ),
  ].join('\n');
}
