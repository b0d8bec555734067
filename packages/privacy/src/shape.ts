import { isClean, isSecretName } from './scan.ts';

/** Bounds of a shape: what is beyond them is `…`. */
const DEPTH_MAX = 6;
const NAMES_MAX = 64;
const CHARACTERS_MAX = 2_000;

/**
 * Names and types of a JSON value and nothing of its values: `{limit:number,path:string,tags:[string]}`.
 *
 * Names are input as well: one that is long, unusual or holds what a detector knows is written `*`.
 */
export function shapeOf(value: unknown): string {
  const shape = shape1(value, 0);
  return shape.length <= CHARACTERS_MAX ? shape : `${shape.slice(0, CHARACTERS_MAX - 1)}…`;
}

function shape1(value: unknown, depth: number): string {
  if (value === undefined) return '';
  if (value === null) return 'null';
  if (Array.isArray(value)) return arrayShape(value, depth);
  if (typeof value !== 'object') return typeof value;
  if (depth >= DEPTH_MAX) return '{…}';
  const names = Object.keys(value).sort();
  const shown = names.slice(0, NAMES_MAX).map((name) => {
    const entry = (value as Record<string, unknown>)[name];
    return `${safeName(name)}:${shape1(entry, depth + 1)}`;
  });
  // Several names that had to be hidden and have the same shape are one.
  const distinct = [...new Set(shown)];
  return `{${distinct.join(',')}${names.length > NAMES_MAX ? ',…' : ''}}`;
}

function arrayShape(value: readonly unknown[], depth: number): string {
  if (value.length === 0) return '[]';
  if (depth >= DEPTH_MAX) return '[…]';
  const shapes = new Set(value.slice(0, NAMES_MAX).map((entry) => shape1(entry, depth + 1)));
  return `[${[...shapes].slice(0, 4).join('|')}${shapes.size > 4 ? '|…' : ''}]`;
}

function safeName(name: string): string {
  return /^[A-Za-z_$][\w$.-]{0,63}$/.test(name) && (isSecretName(name) || isClean(name)) ? name : '*';
}
