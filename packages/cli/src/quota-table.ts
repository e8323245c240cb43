import type { OutputFor } from '@subcloud/sdk/client';
import { table } from './output.ts';

export function quotaTable({ principal, limits, used, own }: OutputFor<'getQuota'>): string {
  const names = Object.keys(limits) as (keyof typeof limits)[];
  const rows = names.map((name) => [
    name,
    used === null ? null : used[name],
    limits[name],
    principal === null ? 'everybody' : own.includes(name) ? principal : 'as everybody',
  ]);
  return table(['quota', 'used', 'limit', 'whose limit'], rows, '');
}
