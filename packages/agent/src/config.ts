/**
 * What the agent can be told by flag or environment. The same words stand in `agent.yaml` (agent-file.ts), where they
 * can be changed while the agent runs; a flag wins over the file for as long as the process lives.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type ConfigOf, type OptionSpecs, flagName, loadConfig } from '@subcloud/kit/config';
import { LOG_LEVELS } from '@subcloud/kit/log';
import * as z from 'zod';
import {
  concurrency,
  consent,
  apis,
  engines,
  hardware,
  joinToken,
  labels,
  location,
  machineName,
  networkUrl,
} from './agent-file.ts';
import { yaml } from './lazy-yaml.ts';

export const agentOptions = {
  url: { schema: networkUrl.optional(), help: 'URL of the network to join.' },
  joinToken: { schema: joinToken.optional(), help: 'Join token; needed for the first start only.', secret: true },
  dataDir: {
    schema: z
      .string()
      .min(1)
      .default(() => join(homedir(), '.subcloud', 'agent')),
    help: "Folder of this agent's key and state.",
  },
  config: { schema: z.string().min(1).optional(), help: 'Path of agent.yaml; it is read again whenever it changes.' },
  name: { schema: machineName.optional(), help: 'Name of this machine; default: its host name.' },
  apis: {
    schema: fromText(apis, (text) => yaml().parse(text) as unknown),
    help: 'Internal HTTP APIs that this machine hosts, as YAML: [{ name: rag, url: http://127.0.0.1:9000 }].',
  },
  engines: {
    schema: fromText(engines, (text) => (text === 'auto' ? text : text.split(',').map((url) => ({ url: url.trim() })))),
    help: '`auto`, URLs of OpenAI-compatible servers separated by commas, or a list as in agent.yaml.',
  },
  hardware: {
    schema: hardware.optional(),
    help: '`auto`: GPUs are declared as the machine reports them; `none`: they are not told.',
  },
  labels: { schema: fromText(labels, pairs), help: 'Labels as key=value, separated by commas.' },
  location: {
    schema: fromText(location, (text) =>
      text.includes('-') ? { country: text.slice(0, text.indexOf('-')), subdivision: text } : { country: text },
    ),
    help: 'Declared location: an ISO 3166 country or subdivision (DE, DE-BY).',
  },
  consent: {
    schema: fromText(consent, (text) => yaml().parse(text) as unknown),
    help: 'What the operator permits, as YAML: {autoJoin: all, isolation: isolate}.',
  },
  concurrency: { schema: fromText(concurrency, Number), help: 'Requests that this machine takes at once.' },
  localAddress: {
    schema: z.union([z.ipv4(), z.ipv6()]).optional(),
    help: 'Source address to dial the network from.',
  },
  logLevel: { schema: z.enum(LOG_LEVELS).default('info'), help: `One of ${LOG_LEVELS.join(', ')}.` },
} as const satisfies OptionSpecs;
export type AgentConfig = ConfigOf<typeof agentOptions>;

/** From `--data-dir DIR` and the like, and from the environment. Throws ConfigError, or an error that names the flag. */
export function loadAgentConfig(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): AgentConfig {
  const names = Object.keys(agentOptions);
  const options = Object.fromEntries(names.map((name) => [flagName(name).slice(2), { type: 'string' as const }]));
  const { values } = parseArgs({ options, args: [...args] });
  const flags = Object.fromEntries(names.map((name) => [name, values[flagName(name).slice(2)]]));
  return loadConfig(agentOptions, { flags, env });
}

/**
 * Takes the value itself (from code) or its text (from a flag or variable): YAML where it starts with a bracket, else
 * the short form that `read` knows. Either way `schema` judges it.
 */
function fromText<Schema extends z.ZodType>(schema: Schema, read: (text: string) => unknown) {
  return z
    .unknown()
    .transform((value, context): z.output<Schema> | undefined => {
      if (value === undefined) return undefined;
      let plain: unknown = value;
      if (typeof value === 'string') {
        try {
          plain = /^[[{]/.test(value) ? (yaml().parse(value) as unknown) : read(value);
        } catch {
          context.addIssue({ code: 'custom', message: 'cannot be read' });
          return z.NEVER;
        }
      }
      const parsed = schema.safeParse(plain);
      if (parsed.success) return parsed.data;
      const [issue] = parsed.error.issues;
      context.addIssue({ code: 'custom', message: [issue?.path.join('.'), issue?.message].filter(Boolean).join(': ') });
      return z.NEVER;
    })
    .optional();
}

function pairs(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const pair of text.split(',')) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new Error('a label is key=value');
    found[pair.slice(0, equals).trim()] = pair.slice(equals + 1).trim();
  }
  return found;
}
