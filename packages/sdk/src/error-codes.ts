/** The error codes and what to do about each, for those who show errors to people. */
export { ERROR_CODES, type ErrorCode, type ErrorCodeName } from '@subcloud/contract/errors';
