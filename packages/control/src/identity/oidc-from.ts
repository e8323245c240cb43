/** The OpenID provider that the options name; undefined where they name none. */
import type { Clock } from '@subcloud/kit/clock';
import { ConfigError } from '@subcloud/kit/config';
import type { ControlConfig } from '../config.ts';
import { type OidcProvider, createOidcProvider } from './oidc.ts';

/** Throws a readable Error where they name it by half. */
export function oidcFrom(config: ControlConfig, clock: Clock): OidcProvider | undefined {
  const {
    oidcIssuer: issuer,
    oidcClientId: clientId,
    oidcClientSecret: clientSecret,
    publicUrl,
    oidcName: name,
  } = config;
  if (issuer === undefined) return undefined;
  if (clientId === undefined || clientSecret === undefined || publicUrl === undefined)
    throw new ConfigError(['--oidc-issuer needs --oidc-client-id, --oidc-client-secret and --public-url beside it']);
  return createOidcProvider({ issuer, clientId, clientSecret, name, publicUrl }, clock);
}
