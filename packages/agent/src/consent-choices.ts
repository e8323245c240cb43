/**
 * What the operator chose on this machine with `subcloud agent join` and `subcloud agent leave`: kept in the agent's own
 * folder, laid over the consent of flags and `agent.yaml`, and read by a running agent within moments. The last word on a
 * name counts.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { subcloudName } from '@subcloud/contract/vocabulary';
import type { Consent } from '@subcloud/contract/vocabulary';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import { ISOLATIONS, type Isolation } from '@subcloud/policy/consent';
import * as z from 'zod';

const choicesSchema = z.strictObject({
  version: z.literal(1),
  /** `agent join global` and `agent leave global`; null: as flags and file say. */
  global: z.boolean().nullable(),
  join: z
    .array(z.union([subcloudName, z.strictObject({ name: subcloudName, isolation: z.enum(ISOLATIONS) })]))
    .max(256),
  leave: z.array(subcloudName).max(1024),
});
export type ConsentChoices = z.infer<typeof choicesSchema>;

const NONE: ConsentChoices = { version: 1, global: null, join: [], leave: [] };
const GLOBAL = 'global';

export function choicesPath(dataDir: string): string {
  return join(dataDir, 'consent.json');
}

/** Throws on a file that is broken: to go on without it could be to forget a no. */
export function readChoices(dataDir: string): ConsentChoices {
  const path = choicesPath(dataDir);
  const text = readFileIfPresent(path);
  if (text === undefined) return NONE;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = choicesSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(`${path} is damaged: remove it, then say again with \`subcloud agent join|leave\` what holds`);
}

/** A yes by name, for as much isolation as `most` says; absent: for what `consent.isolation` allows anyway. Durable when it returns; throws where the folder is no agent's. */
export function chooseJoin(dataDir: string, name: string, most?: string): ConsentChoices {
  const valid = checkedName(name);
  const isolation = checkedIsolation(most);
  const before = readChoices(dataDir);
  if (name === GLOBAL) return write(dataDir, { ...before, global: true });
  return write(dataDir, {
    ...before,
    join: [...without(before.join, valid), isolation === undefined ? valid : { name: valid, isolation }],
    leave: before.leave.filter((left) => left !== valid),
  });
}

/** A no by name, which wins over every rule and invitation. Durable when it returns. */
export function chooseLeave(dataDir: string, name: string): ConsentChoices {
  const valid = checkedName(name);
  const before = readChoices(dataDir);
  if (name === GLOBAL) return write(dataDir, { ...before, global: false });
  return write(dataDir, {
    ...before,
    join: without(before.join, valid),
    leave: [...before.leave.filter((left) => left !== valid), valid],
  });
}

function checkedName(name: string): string {
  if (subcloudName.safeParse(name).success) return name;
  throw new Error(`${name} is no name of a Subcloud`);
}

function checkedIsolation(most: string | undefined): Isolation | undefined {
  const isolation = ISOLATIONS.find((known) => known === most);
  if (most === undefined || isolation !== undefined) return isolation;
  throw new Error(`the isolation is one of ${ISOLATIONS.join(', ')}, not ${most}`);
}

/** The consent that counts. */
export function withChoices(consent: Consent, { global, join: yes, leave: no }: ConsentChoices): Consent {
  if (global === null && yes.length === 0 && no.length === 0) return consent;
  const named = yes.map(nameOf);
  const leave = [...new Set([...(consent.leave ?? []), ...no])].filter((name) => !named.includes(name));
  return {
    ...consent,
    ...(global === null ? {} : { global }),
    join: [...consent.join.filter((entry) => !named.includes(nameOf(entry)) && !no.includes(nameOf(entry))), ...yes],
    ...(leave.length === 0 ? { leave: undefined } : { leave }),
  };
}

function write(dataDir: string, choices: ConsentChoices): ConsentChoices {
  const checked = choicesSchema.parse(choices);
  if (!existsSync(join(dataDir, 'node.json')))
    throw new Error(`${dataDir} is the folder of no agent: name the folder that it was started with`);
  writeFileDurably(choicesPath(dataDir), JSON.stringify(checked));
  return checked;
}

function without(entries: ConsentChoices['join'], name: string): ConsentChoices['join'] {
  return entries.filter((entry) => nameOf(entry) !== name);
}

function nameOf(entry: ConsentChoices['join'][number]): string {
  return typeof entry === 'string' ? entry : entry.name;
}
