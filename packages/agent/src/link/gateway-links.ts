/**
 * The links that there should be: one to each gateway that the node document names, and one to the configured URL,
 * which is how a new machine and one whose document is outdated find the network.
 */
import type { ServingBatch } from '@subcloud/contract/receipts';
import type { LinkContext } from './link-context.ts';
import { type GatewayLink, startGatewayLink } from './gateway-link.ts';

const MAX_GATEWAYS = 8;

export interface GatewayLinks {
  /** Whether any gateway has this node. */
  linked(): boolean;
  declare(): void;
  sayDrained(): void;
  /** By one link; false where there is none whose gateway keeps receipts. */
  sendReceipts(batch: ServingBatch): boolean;
  /** Resolves when every linked gateway has heard that nothing new is taken. */
  announceDrain(): Promise<void>;
  stop(): Promise<void>;
}

export function startGatewayLinks(bootstrapUrl: string, context: LinkContext): GatewayLinks {
  const links = new Map<string, GatewayLink>();
  const ending = new Set<Promise<void>>();
  let stopped = false;

  const reconcile = (): void => {
    if (stopped) return;
    const wanted = new Map<string, { url: string; gatewayId?: string }>();
    wanted.set(`bootstrap ${bootstrapUrl}`, { url: bootstrapUrl });
    for (const { id, url } of context.document.gateways().slice(0, MAX_GATEWAYS)) {
      if (URL.parse(url)?.href === URL.parse(bootstrapUrl)?.href) continue;
      wanted.set(`${id} ${url}`, { url, gatewayId: id });
    }
    for (const [key, link] of links) {
      if (wanted.has(key)) continue;
      links.delete(key);
      const end = link.stop().finally(() => ending.delete(end));
      ending.add(end);
    }
    for (const [key, target] of wanted) {
      if (!links.has(key)) links.set(key, startGatewayLink(target, context));
    }
  };
  context.document.onChange(reconcile);
  reconcile();

  return {
    linked: () => [...links.values()].some((link) => link.linked),
    declare() {
      for (const link of links.values()) link.declare();
    },
    sayDrained() {
      for (const link of links.values()) link.sayDrained();
    },
    sendReceipts(batch) {
      return [...links.values()].some((link) => link.sendReceipts(batch));
    },
    async announceDrain() {
      await Promise.all([...links.values()].map((link) => link.announceDrain()));
    },
    async stop() {
      stopped = true;
      await Promise.all([...[...links.values()].map((link) => link.stop()), ...ending]);
    },
  };
}
