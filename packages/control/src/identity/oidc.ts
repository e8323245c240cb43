/**
 * Sign-in by an OpenID provider: authorization code with PKCE, state and nonce, the ID token checked by openid-client.
 * What a browser brings back is matched with what this process remembers of it, by a cookie of its own.
 */
import { AppError } from '@subcloud/contract/errors';
import type { Clock } from '@subcloud/kit/clock';
import { hashSecret, newSecret } from '@subcloud/kit/secrets';
import * as openid from 'openid-client';
import { boundedFetch } from './bounded-fetch.ts';

export interface OidcOptions {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** What people call it. */
  readonly name: string;
  /** Of this network, as browsers reach it. */
  readonly publicUrl: string;
}

export interface OidcPerson {
  readonly issuer: string;
  readonly subject: string;
  /** Null where the provider gives none, or does not vouch for it. */
  readonly verifiedEmail: string | null;
  readonly displayName: string | null;
}

export interface OidcProvider {
  readonly name: string;
  /** Where to send the browser, and the secret of the cookie that it brings back. Throws platform.oidc_unavailable. */
  begin(next: string): Promise<{ readonly url: string; readonly cookie: string }>;
  /** Throws client.sign_in_failed for whatever does not hold; each cookie works once. */
  finish(cookie: string | undefined, query: string): Promise<{ readonly person: OidcPerson; readonly next: string }>;
}

export const OIDC_CALLBACK_PATH = '/account/oidc/callback';
const TIMEOUT_S = 10;
const PENDING_MS = 600_000;
const MAX_PENDING = 1_000;

interface Pending {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly next: string;
  readonly endsAtMs: number;
}

export function createOidcProvider(options: OidcOptions, clock: Clock): OidcProvider {
  const redirectUri = new URL(OIDC_CALLBACK_PATH, options.publicUrl).href;
  const pending = new Map<string, Pending>();
  let discovered: Promise<openid.Configuration> | undefined;

  const configuration = async (): Promise<openid.Configuration> => {
    discovered ??= discover(options);
    try {
      return await discovered;
    } catch (cause) {
      // Asked again by the next who signs in.
      discovered = undefined;
      throw new AppError('platform.oidc_unavailable', { cause, retryAfterS: 10 });
    }
  };

  return {
    name: options.name,
    async begin(next) {
      const config = await configuration();
      const nowMs = clock.nowMs();
      for (const [hash, { endsAtMs }] of pending)
        if (endsAtMs <= nowMs || pending.size >= MAX_PENDING) pending.delete(hash);
      const cookie = newSecret('session');
      const verifier = openid.randomPKCECodeVerifier();
      const state = openid.randomState();
      const nonce = openid.randomNonce();
      pending.set(hashSecret(cookie), { state, nonce, verifier, next, endsAtMs: nowMs + PENDING_MS });
      const url = openid.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope: 'openid email profile',
        state,
        nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      });
      return { url: url.href, cookie };
    },
    async finish(cookie, query) {
      const key = hashSecret(cookie ?? '');
      const begun = pending.get(key);
      pending.delete(key);
      if (begun === undefined || begun.endsAtMs <= clock.nowMs())
        throw new AppError('client.sign_in_failed', { message: 'This sign-in was not begun here, or took too long.' });
      const config = await configuration();
      try {
        const tokens = await openid.authorizationCodeGrant(config, new URL(`${redirectUri}${query}`), {
          pkceCodeVerifier: begun.verifier,
          expectedState: begun.state,
          expectedNonce: begun.nonce,
          idTokenExpected: true,
        });
        const claims = tokens.claims();
        if (claims === undefined) throw new Error('the provider sent no ID token');
        // Providers may tell the e-mail address at the userinfo endpoint alone.
        const info =
          claims['email'] === undefined ? await openid.fetchUserInfo(config, tokens.access_token, claims.sub) : claims;
        return { person: personOf(claims.iss, claims.sub, info), next: begun.next };
      } catch (cause) {
        throw new AppError('client.sign_in_failed', { cause });
      }
    },
  };
}

function personOf(issuer: string, subject: string, info: Readonly<Record<string, unknown>>): OidcPerson {
  const { email, email_verified: verified, name } = info;
  return {
    issuer,
    subject,
    verifiedEmail: typeof email === 'string' && verified === true ? email.toLowerCase() : null,
    displayName: typeof name === 'string' ? name.slice(0, 128) : null,
  };
}

function discover({ issuer, clientId, clientSecret }: OidcOptions): Promise<openid.Configuration> {
  const url = new URL(issuer);
  // The configuration takes plain http on loopback only.
  const plain = url.protocol === 'http:' ? [openid.allowInsecureRequests] : [];
  return openid.discovery(url, clientId, clientSecret, undefined, {
    execute: plain,
    timeout: TIMEOUT_S,
    [openid.customFetch]: boundedFetch,
  });
}
