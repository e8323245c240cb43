/** Which versions a watch is spoken in, or a refusal by name: no gateway is told a table that it might read in another way. */
import { AppError } from '@subcloud/contract/errors';
import { TABLE_FORMATS } from '@subcloud/contract/table';
import { type VersionRange, commonVersion, versionFault, versionRange } from '@subcloud/contract/versions';
import { WATCH_HEADERS, WATCH_VERSIONS } from '@subcloud/contract/watch';
import type { Log } from '@subcloud/kit/log';

/** Headers of the answer. Throws platform.version_unsupported. */
export function agreedVersions(asked: URLSearchParams, log: Log, gateway: string): Readonly<Record<string, string>> {
  const agree = (protocol: string, own: VersionRange, newest: string, oldest: string): string => {
    const range = versionRange(asked.get(newest), asked.get(oldest));
    if (range === undefined)
      throw new AppError('platform.version_unsupported', {
        message: `the gateway names no version of the ${protocol}`,
      });
    const version = commonVersion(range, own);
    if (version !== undefined) return String(version);
    const fault = versionFault(protocol, { name: 'the gateway', range }, { name: 'this control', range: own });
    log.warn({ gateway, why: fault.message }, 'a gateway was refused: no version in common');
    throw new AppError('platform.version_unsupported', fault);
  };
  return {
    [WATCH_HEADERS.version]: agree('watch', WATCH_VERSIONS, 'version', 'oldestVersion'),
    [WATCH_HEADERS.table]: agree('table', TABLE_FORMATS, 'table', 'oldestTable'),
  };
}
