/**
 * Paths that the manifest format defines and this build does not enforce. A manifest that uses one is refused with
 * the path's name, so that nobody believes in a rule that nothing checks. A path leaves this list when its clause works.
 */
export const NOT_ENFORCED: Readonly<Record<'Subcloud' | 'Network', ReadonlySet<string>>> = {
  Subcloud: new Set(['spec.sla', 'spec.participation.probation', 'spec.routing.queue', 'spec.apis']),
  Network: new Set(['spec.sla', 'spec.routing.queue']),
};

/** Values that the format defines and this build does not enforce, by path. */
export const VALUES_NOT_ENFORCED: ReadonlyMap<string, ReadonlySet<string>> = new Map();
