/**
 * Who owns, operates or calls. A principal is an id and nothing else here: `user:ID`, `team:ORG/ID` or `org:ID`.
 * Accounts, membership in organisations and roles are not the policy's business.
 */
export type PrincipalId = `user:${string}` | `team:${string}` | `org:${string}`;

const PART = '[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?';
export const PRINCIPAL_PATTERN: RegExp = new RegExp(`^(?:(?:user|org):${PART}|team:${PART}/${PART})$`);

export function isPrincipalId(value: string): value is PrincipalId {
  return PRINCIPAL_PATTERN.test(value);
}
