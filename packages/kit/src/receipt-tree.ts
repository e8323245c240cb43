/**
 * The hash tree of a batch of receipt halves, as RFC 6962 (section 2.1) has it for certificates: SHA-256, a leaf hashed
 * as 0x00 and its text, an inner node as 0x01 and its two children, the left part the largest power of two that is less
 * than the whole. A leaf cannot pass for an inner node, and a batch has one root alone.
 */
import { hash } from 'node:crypto';

const HASH_BYTES = 32;
const LEAF = '\u0000';
/** 0x01 and two children, written anew for each: nothing is waited for in between. */
const inner = Buffer.alloc(1 + 2 * HASH_BYTES, 1);

/** Of at least one leaf; hex. */
export function treeRoot(leaves: readonly string[]): string {
  return rootOf(leaves.map(leafHash)).toString('hex');
}

/** The hashes beside the way from leaf `index` to the root, from the leaf on; hex. One call answers for all leaves. */
export function treePaths(leaves: readonly string[]): readonly (readonly string[])[] {
  const paths: string[][] = leaves.map(() => []);
  walk(leaves.map(leafHash), 0, paths);
  return paths;
}

/** The root that a leaf and its path lead to; undefined where the path has not the length of this place in the tree. */
export function rootFrom(leaf: string, index: number, count: number, path: readonly string[]): string | undefined {
  if (index < 0 || index >= count) return undefined;
  // RFC 9162, section 2.1.3.2, read from the leaf on.
  let hashed = leafHash(leaf);
  let at = index;
  let last = count - 1;
  for (const beside of path) {
    if (last === 0) return undefined;
    const other = Buffer.from(beside, 'hex');
    if (other.byteLength !== HASH_BYTES) return undefined;
    if (at % 2 === 1 || at === last) {
      hashed = innerHash(other, hashed);
      while (at % 2 === 0 && at !== 0) {
        at = Math.floor(at / 2);
        last = Math.floor(last / 2);
      }
    } else hashed = innerHash(hashed, other);
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? hashed.toString('hex') : undefined;
}

function leafHash(leaf: string): Buffer {
  return hash('sha256', LEAF + leaf, 'buffer');
}

function innerHash(left: Buffer, right: Buffer): Buffer {
  inner.set(left, 1);
  inner.set(right, 1 + HASH_BYTES);
  return hash('sha256', inner, 'buffer');
}

function rootOf(hashes: readonly Buffer[]): Buffer {
  return walk(hashes, 0, undefined);
}

/** The root of `hashes`, which stand from `offset` on among all; adds what is beside each to its path. */
function walk(hashes: readonly Buffer[], offset: number, paths: string[][] | undefined): Buffer {
  const [first] = hashes;
  if (first === undefined) throw new Error('a tree has at least one leaf');
  if (hashes.length === 1) return first;
  const split = 2 ** Math.floor(Math.log2(hashes.length - 1));
  const left = walk(hashes.slice(0, split), offset, paths);
  const right = walk(hashes.slice(split), offset + split, paths);
  if (paths !== undefined) {
    for (let at = 0; at < hashes.length; at += 1) paths[offset + at]?.push((at < split ? right : left).toString('hex'));
  }
  return innerHash(left, right);
}
