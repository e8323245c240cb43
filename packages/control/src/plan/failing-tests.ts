import type { NetworkManifest, SubcloudManifest } from '@subcloud/policy/manifest';
import type { PlaceRegistry } from '@subcloud/policy/place-registry';
import { type PolicyTestResult, runPolicyTests } from '@subcloud/policy/policy-tests';
import type { PrincipalId } from '@subcloud/policy/principal';

/** The manifest's own tests that do not hold under its policy. */
export function failingTests(
  { spec }: SubcloudManifest | NetworkManifest,
  owner: PrincipalId | null,
  registry: PlaceRegistry,
): readonly PolicyTestResult[] {
  return runPolicyTests(spec, { owner, registry }).filter(({ pass }) => !pass);
}
