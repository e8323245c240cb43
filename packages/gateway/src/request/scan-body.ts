/**
 * What the gateway reads of a body, without parsing it: `model`, `stream`, and whether the caller asked for usage. A body
 * that two readers could understand differently is refused here, so an engine acts on what was checked.
 */
import { type ScanFault, type ScannedValue, scanTopLevel } from '@subcloud/contract/body-scan';
import { AppError } from '@subcloud/contract/errors';
import { READ_BODY_KEYS } from '@subcloud/contract/inference';
import { modelId } from '@subcloud/contract/vocabulary';

export interface ScannedBody {
  readonly model: string;
  readonly stream: boolean;
  /** What goes to the node. */
  readonly bytes: Buffer;
  /** The usage event was asked for by the gateway alone: the caller does not get it. */
  readonly hidesUsage: boolean;
}

const MAX_STREAM_OPTIONS_BYTES = 4_096;

/** Throws `client.invalid_body`, `.ambiguous_body`, `.model_required` or `.invalid_request`. */
export function scanBody(bytes: Buffer): ScannedBody {
  const scan = scanTopLevel(bytes, READ_BODY_KEYS);
  if (!scan.ok) throw faultOf(scan.reason, scan.key);
  const { values } = scan;
  if (values.has('subcloud')) {
    throw new AppError('client.invalid_request', {
      message: 'The body field `subcloud` is not in force yet: leave it out.',
      param: 'subcloud',
    });
  }
  const model = values.get('model')?.string;
  if (model === undefined) throw new AppError('client.model_required', { param: 'model' });
  // Such a name is in no table, and it must not become a header.
  if (!modelId.safeParse(model).success) throw new AppError('routing.unknown_model', { param: 'model' });
  const streamValue = values.get('stream');
  if (streamValue !== undefined && streamValue.boolean === undefined && !isNull(bytes, streamValue)) {
    throw new AppError('client.invalid_request', { message: '`stream` must be true or false.', param: 'stream' });
  }
  const stream = streamValue?.boolean === true;
  if (!stream) return { model, stream, bytes, hidesUsage: false };
  const asked = askForUsage(bytes, values.get('stream_options'));
  return { model, stream, bytes: asked ?? bytes, hidesUsage: asked !== undefined };
}

/** The same body for the network id that an alias stands for. */
export function withModel(scanned: ScannedBody, model: string): ScannedBody {
  const scan = scanTopLevel(scanned.bytes, READ_BODY_KEYS);
  const span = scan.ok ? scan.values.get('model') : undefined;
  if (span === undefined) throw new AppError('client.invalid_body');
  const { bytes } = scanned;
  const name = Buffer.from(JSON.stringify(model));
  return { ...scanned, model, bytes: Buffer.concat([bytes.subarray(0, span.start), name, bytes.subarray(span.end)]) };
}

function isNull(bytes: Buffer, { start, end }: ScannedValue): boolean {
  return bytes.toString('latin1', start, end) === 'null';
}

const ASK = Buffer.from('"stream_options":{"include_usage":true},');

/** The body with `stream_options.include_usage` set; undefined where the caller set it already. */
function askForUsage(bytes: Buffer, options: ScannedValue | undefined): Buffer | undefined {
  if (options === undefined) {
    // The body has at least `model`, so a comma may follow.
    const first = bytes.indexOf('{') + 1;
    return Buffer.concat([bytes.subarray(0, first), ASK, bytes.subarray(first)]);
  }
  const { start, end } = options;
  const wrong = new AppError('client.invalid_request', {
    message: '`stream_options` must be an object.',
    param: 'stream_options',
  });
  if (end - start > MAX_STREAM_OPTIONS_BYTES) throw wrong;
  const given: unknown = JSON.parse(bytes.toString('utf8', start, end));
  if (given !== null && (typeof given !== 'object' || Array.isArray(given))) throw wrong;
  if (given !== null && (given as Record<string, unknown>)['include_usage'] === true) return undefined;
  const changed = JSON.stringify({ ...given, include_usage: true });
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(changed), bytes.subarray(end)]);
}

function faultOf(reason: ScanFault, key: string | undefined): AppError {
  const param = key === undefined ? {} : { param: key };
  switch (reason) {
    case 'duplicate_key':
      return new AppError('client.ambiguous_body', {
        message: `The key \`${key ?? ''}\` stands twice in the body.`,
        ...param,
      });
    case 'case_variant':
      return new AppError('client.ambiguous_body', {
        message: `The body has a key that some engines read as \`${key ?? ''}\`.`,
        ...param,
      });
    case 'not_json':
    case 'not_object':
    case 'invalid_utf8':
      return new AppError('client.invalid_body');
    case 'too_deep':
      return new AppError('client.invalid_body', { message: 'The body nests too deeply.' });
    case 'too_long':
      return new AppError('client.invalid_body', { message: 'A key, a number or a gap in the body is too long.' });
  }
}
