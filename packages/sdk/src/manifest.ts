/** The same parser that control uses, so that a manifest's faults are seen before it is sent. */
export {
  MAX_MANIFEST_BYTES,
  type ManifestError,
  parseManifest,
  type ParsedManifest,
} from '@subcloud/policy/parse-manifest';
