import { InvalidArgumentError } from 'commander';

/** `20%` or `2.5%` as a number of percent. Throws commander's InvalidArgumentError. */
export function percentOf(text: string): number {
  const percent = /^\d{1,3}(?:\.\d{1,3})?%$/.test(text) ? Number(text.slice(0, -1)) : Number.NaN;
  if (!(percent <= 100)) throw new InvalidArgumentError('Write a percentage from 0% to 100%.');
  return percent;
}
