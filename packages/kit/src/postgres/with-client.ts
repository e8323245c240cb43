import pg from 'pg';

/**
 * Runs `work` on one connection of its own and closes it. For the few statements that concern a whole server or a start; services keep
 * a pool.
 */
export async function withClient<Result>(
  connectionString: string,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString });
  // A connection that breaks also fails the query in flight; without a listener it would end the process instead.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
