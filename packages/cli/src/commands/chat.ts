import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { type NetworkFlags, findNetwork } from '../find-network.ts';

interface ChatOptions extends NetworkFlags {
  readonly model?: string;
  readonly system?: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
}

export function addChat(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'chat <text-or-name> [text]', 'ask a model; with two arguments the first names a Subcloud')
    .option('--model <id>', 'default: the only one that there is')
    .option('--system <text>', 'a system message before the question')
    .option('--temperature <number>', 'from 0 to 2', numberIn(0, 2))
    .option('--max-tokens <count>', 'at most so many tokens', numberIn(1, 1_000_000))
    .action(
      cli.action<ChatOptions>(async ({ host, output, options }, first = '', second?: string) => {
        const pool = second === undefined ? undefined : first;
        const { createChatClient } = await import('@subcloud/sdk/chat');
        const chat = createChatClient(findNetwork(options, host.env, 'inference'));
        try {
          const model = options.model ?? onlyModel(await chat.models(pool));
          const system = options.system === undefined ? [] : [{ role: 'system' as const, content: options.system }];
          const messages = [...system, { role: 'user' as const, content: second ?? first }];
          const { temperature, maxTokens } = options;
          let answer = '';
          for await (const text of chat.stream({ model, messages, pool, temperature, maxTokens })) {
            answer += text;
            output.piece(text);
          }
          if (output.isJson) output.result({ model, pool: pool ?? null, answer }, () => '');
          else output.piece(answer.endsWith('\n') ? '' : '\n');
        } finally {
          await chat.close();
        }
      }),
    );
}

function onlyModel(models: readonly string[]): string {
  const [only] = models;
  if (only !== undefined && models.length === 1) return only;
  throw new CliError({
    code: only === undefined ? 'routing.no_model' : 'client.model_required',
    message:
      only === undefined
        ? 'No model is offered here at this moment.'
        : `Several models are offered: ${models.join(', ')}.`,
    next: only === undefined ? '`subcloud node list` shows the nodes and what they offer.' : 'Name one with --model.',
  });
}

function numberIn(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= min && value <= max) return value;
    throw new CliError({
      code: 'client.invalid_number',
      message: `${JSON.stringify(text.slice(0, 40))} is no number from ${min} to ${max}.`,
    });
  };
}
