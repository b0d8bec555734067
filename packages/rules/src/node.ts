import { isMap, isNode, isScalar, isSeq, type Node, type Scalar, type YAMLMap } from 'yaml';
import { didYouMean, RuleError } from './mistake.ts';

/** A key of a map with its value, and where the key stands. */
export interface Entry {
  readonly key: string;
  readonly offset: number;
  /** Null for a key without a value. */
  readonly value: Node | null;
}

export type Value = string | number | boolean | null;

/** The entries of a map, in the order of the file. @throws RuleError */
export function entriesOf(node: Node | null, what: string, at: number): Entry[] {
  if (!isMap(node)) throw new RuleError(startOf(node, at), `${what} must be a map of names and values`);
  return (node as YAMLMap).items.map(({ key, value }) => ({
    key: isScalar(key) ? String(key.value ?? '') : '',
    offset: startOf(key, at),
    value: isNode(value) ? value : null,
  }));
}

/** The items of a list; a single value is a list of one. */
export function itemsOf(node: Node | null): (Node | null)[] {
  if (isSeq(node)) return node.items.map((item) => (isNode(item) ? item : null));
  return [node];
}

/** @throws RuleError when it is no single value. */
export function scalarOf(node: Node | null, what: string, at: number): Value {
  if (node === null) return null;
  const value = isScalar(node) ? (node as Scalar).value : undefined;
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value;
  throw new RuleError(startOf(node, at), `${what} must be a single text, number, true, false or null`);
}

/** @throws RuleError when it is no text. A number counts as what was written. */
export function textOf(node: Node | null, what: string, at: number): string {
  const value = scalarOf(node, what, at);
  if (typeof value === 'string' && value !== '') return value;
  if (typeof value === 'number') return isScalar(node) ? (node.source ?? String(value)) : String(value);
  throw new RuleError(startOf(node, at), `${what} must be a text`);
}

/** @throws RuleError when a key is none of these. */
export function checkKeys(entries: readonly Entry[], known: readonly string[], what: string): void {
  const seen = new Set<string>();
  for (const { key, offset } of entries) {
    if (!known.includes(key))
      throw new RuleError(offset, `${what} has no ${key || 'such key'}${didYouMean(key, known)}`);
    if (seen.has(key)) throw new RuleError(offset, `${key} stands twice`);
    seen.add(key);
  }
}

export function entry(entries: readonly Entry[], key: string): Entry | undefined {
  return entries.find((candidate) => candidate.key === key);
}

/** Where a node begins in the file, else `otherwise`. */
export function startOf(node: unknown, otherwise: number): number {
  return (isNode(node) ? node.range?.[0] : undefined) ?? otherwise;
}

/** Where the text of a scalar begins: behind its quote. */
export function textStart(node: Node | null, otherwise: number): number {
  const quoted = isScalar(node) && (node.type === 'QUOTE_DOUBLE' || node.type === 'QUOTE_SINGLE');
  return startOf(node, otherwise) + (quoted ? 1 : 0);
}

export { isMap, isScalar, isSeq, type Node };
