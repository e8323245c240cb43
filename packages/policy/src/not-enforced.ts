/** Verdicts on answers, and what is told of too few nodes. `sla.capacity.reserve` is in force. */
const SLA: readonly string[] = [
  'spec.sla.ttft',
  'spec.sla.tpot',
  'spec.sla.errorRate',
  'spec.sla.availability',
  'spec.sla.evaluate',
  'spec.sla.onBreach',
  'spec.sla.capacity.minNodes',
];

/**
 * Paths that the manifest format defines and this build does not enforce. A manifest that uses one is refused with
 * the path's name, so that nobody believes in a rule that nothing checks. A path leaves this list when its clause works.
 */
export const NOT_ENFORCED: Readonly<Record<'Subcloud' | 'Network', ReadonlySet<string>>> = {
  Subcloud: new Set([...SLA, 'spec.participation.probation']),
  Network: new Set(SLA),
};

/** Values that the format defines and this build does not enforce, by path. */
export const VALUES_NOT_ENFORCED: ReadonlyMap<string, ReadonlySet<string>> = new Map();
