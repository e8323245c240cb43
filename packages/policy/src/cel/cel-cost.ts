/**
 * What an expression can cost at most, in steps: how many parts of it one evaluation can go through, whatever a node says.
 * A part is one node of its tree. A comprehension goes through its body once for each entry, and a list that is longer than
 * MAX_LIST_LENGTH has no value; `in` compares with each entry; a search in a text counts one step for every 64 characters of
 * the longest text there can be. So the sum over expressions bounds what they cost together for each node of the network.
 */
import type { ASTNode } from '@marcbachmann/cel-js';
import { MAX_LIST_LENGTH, MAX_TEXT_LENGTH } from './cel-limits.ts';

const COMPREHENSIONS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'filter']);
const SEARCHES: ReadonlySet<string> = new Set(['contains', 'startsWith', 'endsWith']);
const SEARCH_STEPS = MAX_TEXT_LENGTH / 64;

/** Of an expression that `inspect` has let through. */
export function celSteps(node: ASTNode): number {
  switch (node.op) {
    case 'value':
    case 'id':
      return 1;
    case '.':
      return 1 + celSteps(node.args[0]);
    case '!_':
    case '-_':
      return 1 + celSteps(node.args);
    case 'call':
      return 1 + sum(node.args[1]);
    case 'rcall': {
      const [name, receiver, args] = node.args;
      if (COMPREHENSIONS.has(name)) return 1 + celSteps(receiver) + entriesOf(receiver) * (1 + sum(args));
      return 1 + celSteps(receiver) + sum(args) + (SEARCHES.has(name) ? SEARCH_STEPS : 0);
    }
    case 'in':
      return 1 + sum(node.args) + entriesOf(node.args[1]);
    case 'map':
    case '.?':
    case '[?]':
      // Refused by `inspect`.
      return 1;
    case '[]':
    case 'list':
    case '?:':
    case '==':
    case '!=':
    case '<':
    case '<=':
    case '>':
    case '>=':
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
    case '&&':
    case '||':
      return 1 + sum(node.args);
  }
}

/** The most entries that a list can have. */
function entriesOf(node: ASTNode): number {
  return node.op === 'list' ? node.args.length : MAX_LIST_LENGTH;
}

function sum(nodes: readonly ASTNode[]): number {
  return nodes.reduce((total, node) => total + celSteps(node), 0);
}
