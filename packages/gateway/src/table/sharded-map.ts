/**
 * An immutable map that shares what did not change with the one it came from: a change copies the shards it touches,
 * not the ten thousand rows beside them. Iteration is for rare work only.
 */
const SHARDS = 256;

export interface ShardedMapCollector<Value> {
  /** False when the key is there already. */
  readonly add: (key: string, value: Value) => boolean;
  readonly done: () => ShardedMap<Value>;
}

export interface ShardedMapEditor<Value> {
  /** Undefined deletes the key. */
  readonly set: (key: string, value: Value | undefined) => void;
  /** After it, nothing is set any more. */
  readonly done: () => ShardedMap<Value>;
}

export class ShardedMap<Value> {
  readonly #shards: readonly ReadonlyMap<string, Value>[];
  readonly size: number;

  private constructor(shards: readonly ReadonlyMap<string, Value>[], size: number) {
    this.#shards = shards;
    this.size = size;
  }

  static empty<Value>(): ShardedMap<Value> {
    const shard: ReadonlyMap<string, Value> = new Map();
    return new ShardedMap<Value>(
      Array.from({ length: SHARDS }, () => shard),
      0,
    );
  }

  /** For a map that is made key by key and seen by nobody before it is whole. */
  static collect<Value>(): ShardedMapCollector<Value> {
    const shards = Array.from({ length: SHARDS }, () => new Map<string, Value>());
    let size = 0;
    return {
      add(key, value) {
        const shard = shards[shardOf(key)];
        if (shard === undefined || shard.has(key)) return false;
        shard.set(key, value);
        size += 1;
        return true;
      },
      done: () => new ShardedMap(shards, size),
    };
  }

  get(key: string): Value | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  *values(): Iterable<Value> {
    for (const shard of this.#shards) yield* shard.values();
  }

  /** The same map with changes that are made key by key; this one stays as it is. */
  edit(): ShardedMapEditor<Value> {
    const shards = [...this.#shards];
    const copied = new Map<number, Map<string, Value>>();
    let { size } = this;
    return {
      set(key, value) {
        const index = shardOf(key);
        let shard = copied.get(index);
        if (shard === undefined) {
          shard = new Map(shards[index]);
          copied.set(index, shard);
          shards[index] = shard;
        }
        size -= shard.size;
        if (value === undefined) shard.delete(key);
        else shard.set(key, value);
        size += shard.size;
      },
      done: () => (copied.size === 0 ? this : new ShardedMap(shards, size)),
    };
  }
}

/** Keys end in their random part, so the last characters spread best. */
function shardOf(key: string): number {
  let hash = 0;
  for (let index = Math.max(0, key.length - 8); index < key.length; index += 1) {
    hash = (Math.imul(hash, 31) + key.charCodeAt(index)) | 0;
  }
  return (hash ^ (hash >>> 8)) & (SHARDS - 1);
}
