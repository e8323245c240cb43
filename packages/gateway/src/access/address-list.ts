/** Address ranges as the gateway asks them. */
import { BlockList, isIP } from 'node:net';

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

export interface AddressList {
  /** False for whatever is no address. An IPv4 address counts as such also where it comes inside an IPv6 one. */
  has(address: string | undefined): boolean;
}

/** The ranges are well-formed, as the table's schema has it. */
export function addressList(cidrs: readonly string[]): AddressList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = '', prefix = ''] = cidr.split('/');
    const mapped = MAPPED.exec(network)?.[1];
    if (mapped !== undefined && Number(prefix) >= 96) list.addSubnet(mapped, Number(prefix) - 96, 'ipv4');
    else list.addSubnet(network, Number(prefix), network.includes(':') ? 'ipv6' : 'ipv4');
  }
  return {
    has(address) {
      const plain = address === undefined ? '' : (MAPPED.exec(address)?.[1] ?? address);
      const version = isIP(plain);
      if (version === 0 || plain.includes('%')) return false;
      return list.check(plain, version === 4 ? 'ipv4' : 'ipv6');
    },
  };
}
