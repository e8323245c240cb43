/** Words of the policy that also cross a wire: one schema serves both. */
export { ISOLATIONS, consentSchema, principalId, subcloudName } from '@subcloud/policy/consent';
export type { Consent } from '@subcloud/policy/consent';
export { digestText, isModelId, labelsSchema, modelId } from '@subcloud/policy/words';
export { MODALITIES, QUANTIZATIONS } from '@subcloud/policy/scales';
export { GPU_NAMES } from '@subcloud/policy/gpu-names';
export type { PrincipalId } from '@subcloud/policy/principal';
export { LIMIT_NAMES, TOKEN_SCOPES, accessLimits, boundId, limitSet } from '@subcloud/policy/access';
export type { AccessLimits, BoundId, LimitName, LimitSet, TokenScope } from '@subcloud/policy/access';
export { cidrText } from '@subcloud/policy/cidr';
