/** Where a PostgreSQL on a Unix socket is found, and as whom. */
export interface SocketAddress {
  readonly socketDir: string;
  /** Part of the socket file's name. */
  readonly port: number;
  readonly user: string;
}

/** A URL for `pg` and libpq. Without a password: the folder admits only its owner. */
export function socketUrl(address: SocketAddress, database: string): string {
  const query = `host=${encodeURIComponent(address.socketDir)}&port=${address.port}`;
  return `postgresql://${encodeURIComponent(address.user)}@/${encodeURIComponent(database)}?${query}`;
}
