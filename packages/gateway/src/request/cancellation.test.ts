import { AppError } from '@subcloud/contract/errors';
import { expect, test } from 'vitest';
import { Cancellation } from './cancellation.ts';

const first = new AppError('client.closed_request');
const second = new AppError('upstream.timeout');

test('every listener hears of the first reason, once, in order', () => {
  const cancellation = new Cancellation();
  const heard: string[] = [];
  for (const name of ['a', 'b', 'c']) cancellation.listen((reason) => heard.push(`${name} ${reason.code}`));
  cancellation.cancel(first);
  cancellation.cancel(second);
  expect(heard).toEqual(['a client.closed_request', 'b client.closed_request', 'c client.closed_request']);
  expect(cancellation.reason).toBe(first);
});

test('who has left hears nothing, and a listener may leave while others are told', () => {
  const cancellation = new Cancellation();
  const heard: string[] = [];
  const gone = (): void => void heard.push('gone');
  const leaving = (): void => cancellation.unlisten(leaving);
  cancellation.listen(leaving);
  cancellation.listen(gone);
  cancellation.listen(() => heard.push('stays'));
  cancellation.unlisten(gone);
  cancellation.cancel(first);
  expect(heard).toEqual(['stays']);
});

test('where it is cancelled already nobody is told later: the reason says so', () => {
  const cancellation = new Cancellation();
  cancellation.cancel(first);
  cancellation.listen(() => expect.unreachable());
  cancellation.cancel(second);
  expect(cancellation.reason).toBe(first);
});
