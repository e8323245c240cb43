import { AppError } from '@subcloud/contract/errors';
import type { SigningKeys } from '@subcloud/contract/routes/signing-keys';
import { rowKey } from '@subcloud/contract/table';
import { DocumentError } from '@subcloud/kit/signing';
import type { Authority } from '../../authority.ts';
import { type ApiContext, type Handlers, isoOrNull } from '../context.ts';

type Routes = 'listSigningKeys' | 'rotateSigningKey' | 'installSigningKeyCertificate';

/** Keys lie in files: what a change writes there stays if its transaction fails, and then only the audit entry is missing. */
export const signingKeyHandlers: Pick<Handlers, Routes> = {
  listSigningKeys: (context) => view(context),

  async rotateSigningKey(context) {
    const { loop, authority } = context;
    await loop.change(() => {
      const underWay = authority.ring.status().find(({ state }) => state === 'next');
      const next = underWay ?? authority.ring.rotate();
      if (next === undefined)
        throw new AppError('client.conflict', {
          message: 'The chain still names as many retired keys as it may: wait until one of them ends.',
        });
      const state = { publicKey: next.publicKey, state: 'next' };
      // Asked again while a change is under way, it is that change.
      const audit = {
        subject: `signing-key:${next.publicKey}`,
        before: underWay === undefined ? null : state,
        after: state,
      };
      return Promise.resolve({ audit, result: undefined, touched: [], apply: () => stageChain(context) });
    });
    return view(context);
  },

  async installSigningKeyCertificate(context, { body: { certificate } }) {
    const { loop, authority } = context;
    await loop.change(() => {
      if (!installs(authority, certificate))
        throw new AppError('client.conflict', {
          message: 'The certificate is of another network or of no signing key in use here, or it has expired.',
        });
      const audit = { subject: `signing-key:certificate`, before: null, after: { signer: certificate.signer } };
      return Promise.resolve({ audit, result: undefined, touched: [], apply: () => stageChain(context) });
    });
    return view(context);
  },
};

function installs(authority: Authority, certificate: Parameters<Authority['ring']['install']>[0]): boolean {
  try {
    return authority.ring.install(certificate);
  } catch (error) {
    if (error instanceof DocumentError)
      throw new AppError('client.invalid_request', { message: error.message, param: 'certificate' });
    throw error;
  }
}

function stageChain({ loop, pass, authority }: ApiContext): void {
  pass.table.stage('network', rowKey.network(), { networkId: loop.world.networkId, chain: authority.chain() });
}

function view({ loop, authority }: ApiContext): SigningKeys {
  return {
    networkId: loop.world.networkId,
    fingerprint: authority.fingerprint,
    networkKey: authority.ring.networkKeyHere ? 'here' : 'offline',
    keys: authority.ring
      .status()
      .map(({ publicKey, state, notAfterMs }) => ({ publicKey, state, notAfter: isoOrNull(notAfterMs) })),
  };
}
