import { GLOBAL_POOL } from '@subcloud/policy/manifest';
import { type Handlers, withdrawn } from '../context.ts';
import { storeRevision } from '../store-revision.ts';
import { subcloudView } from '../views.ts';

export const networkManifestHandlers: Pick<Handlers, 'applyNetwork'> = {
  async applyNetwork(context, { body }, actor) {
    const { manifest: source, ifRevision, maxLeavePercent } = body;
    const request = { name: GLOBAL_POOL, source, ifRevision, maxLeavePercent, reason: 'apply' };
    const { result, tableVersion } = await context.loop.change((tx) => storeRevision(context, tx, request, actor));
    const withdrawal = await withdrawn(context, tableVersion);
    return {
      change: result.change === 'unchanged' ? 'unchanged' : 'updated',
      subcloud: subcloudView(context.loop.world, context.pass.table, result.record),
      withdrawal,
    };
  },
};
