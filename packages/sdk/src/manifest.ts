export { manifestJsonSchema } from '@subcloud/policy/json-schema';
/** The same parser that control uses, so that a manifest's faults are seen before it is sent. */
export {
  MAX_MANIFEST_BYTES,
  type ManifestError,
  parseManifest,
  type ParsedManifest,
} from '@subcloud/policy/parse-manifest';
/** The facts of a node, written short, as tests of manifests and "what if" take them. */
export { testNode } from '@subcloud/policy/policy-test-schema';
