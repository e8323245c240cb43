/** Seeded chance: the same seed and step make the same attack. */
export class Chance {
  #state: number;

  constructor(seed: number, step = 0) {
    this.#state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(step + 1, 0xc2b2ae35)) >>> 0;
    for (let round = 0; round < 4; round++) this.unit();
  }

  /** 0 ≤ x < 1 (mulberry32, public domain). */
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** 0 ≤ n < below. */
  below(below: number): number {
    return Math.floor(this.unit() * below);
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** One of a list that is not empty. */
  of<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('nothing to choose from');
    return item;
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)));
  }

  /** Bytes with some of them changed, doubled, cut out or cut off. */
  damaged(bytes: Buffer): Buffer {
    let result = Buffer.from(bytes);
    for (let count = 1 + this.below(4); count > 0; count--) {
      const at = this.below(result.byteLength + 1);
      const length = this.below(Math.min(40, result.byteLength - at + 1));
      switch (this.below(5)) {
        case 0:
          if (at < result.byteLength) result[at] = this.below(256);
          break;
        case 1:
          result = Buffer.concat([result.subarray(0, at), this.bytes(1 + this.below(8)), result.subarray(at)]);
          break;
        case 2:
          result = Buffer.concat([result.subarray(0, at), result.subarray(at + length)]);
          break;
        case 3:
          result = Buffer.concat([result.subarray(0, at + length), result.subarray(at)]);
          break;
        default:
          result = result.subarray(0, at);
      }
    }
    return result;
  }
}
