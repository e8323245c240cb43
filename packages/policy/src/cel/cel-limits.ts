/** Longer lists, maps and texts make what reads them unknown: evaluation is bounded whatever a node says. */
export const MAX_LIST_LENGTH = 256;
/** Characters. */
export const MAX_TEXT_LENGTH = 512;
