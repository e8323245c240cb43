import type { Client, OutputFor } from '@subcloud/sdk/client';
import { CliError } from './cli-error.ts';

type Binding = OutputFor<'listBindings'>['items'][number];

/** The one binding of this Subcloud that is meant. Throws CliError where there is none, or more than one. */
export async function chooseBinding(
  client: Client,
  subcloud: string,
  bound: string | undefined,
  fits: (binding: Binding) => boolean,
): Promise<Binding> {
  const { listAll } = await import('@subcloud/sdk/pages');
  const known = await listAll(client, 'listBindings', { query: { subcloud } });
  const found = known.filter((binding) => fits(binding) && (bound === undefined || binding.bound === bound));
  const [only, ...more] = found;
  if (only === undefined)
    throw new CliError({
      code: 'client.not_found',
      message: `${subcloud} has no such binding${bound === undefined ? '' : ` of ${bound}`} that this credential may answer`,
      next: 'See `subcloud binding list`.',
    });
  if (more.length > 0)
    throw new CliError({
      code: 'client.invalid_request',
      message: `${subcloud} has several: ${found.map((binding) => binding.bound).join(', ')}`,
      next: 'Say which with --bound ID.',
    });
  return only;
}
