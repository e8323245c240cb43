/** Why a link did not come to be. `refused`: the other side is sound and said no, so that asking again soon is no use. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  readonly kind: 'failed' | 'refused';
  constructor(message: string, kind: 'failed' | 'refused' = 'failed') {
    super(message);
    this.kind = kind;
  }
}
