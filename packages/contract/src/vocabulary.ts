/** Words of the policy that also cross a wire: one schema serves both. */
export { ISOLATIONS, consentSchema, principalId, subcloudName } from '@subcloud/policy/consent';
export type { Consent } from '@subcloud/policy/consent';
export { labelsSchema, modelId } from '@subcloud/policy/manifest';
export type { PrincipalId } from '@subcloud/policy/principal';
