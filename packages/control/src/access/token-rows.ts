/** A Subcloud token as stored, to its rows in the table. */
import type { TokenTerms } from '@subcloud/contract/routes/shapes';
import type { CredentialRow } from '@subcloud/contract/table';
import type { PrincipalId } from '@subcloud/policy/principal';

export interface StoredToken {
  readonly id: string;
  readonly principal: string;
  readonly expires_at: number | null;
  readonly scopes: object | null;
  readonly models: object | null;
  readonly limits: object | null;
  /** Name of the Subcloud that it opens. */
  readonly pool: string;
}

/** What the stored token is narrowed to; the columns hold what the route has checked. */
export function termsOfToken({
  scopes,
  models,
  limits,
}: Pick<StoredToken, 'scopes' | 'models' | 'limits'>): TokenTerms {
  return {
    ...(scopes === null ? {} : { scopes }),
    ...(models === null ? {} : { models }),
    ...(limits === null ? {} : { limits }),
  } as TokenTerms;
}

export function tokenRow(token: StoredToken): CredentialRow {
  return {
    id: token.id,
    kind: 'subcloud',
    principal: token.principal as PrincipalId,
    pool: token.pool,
    expiresAt: token.expires_at,
    ...termsOfToken(token),
  };
}

/** The secret before the last rotation: the same token, for a while. */
export function previousRow(row: CredentialRow, untilMs: number): CredentialRow {
  return { ...row, expiresAt: Math.min(untilMs, row.expiresAt ?? Infinity) };
}
