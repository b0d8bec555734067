/** Names of objects in the bucket (schemas/ledger.md, "Names in the bucket"). None holds a word that came with an event. */
import { Failure } from '@cairn/failure';
import { parseOrigin } from './origin.ts';

/** `<topic>/<partition>`. */
function folderOf(origin: string): string {
  const { topic, partition } = parseOrigin(origin);
  return `${topic}/${partition}`;
}

/** 20 digits. @throws RangeError when it is no index. */
function digits(number: number): string {
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError(`${number} is no index`);
  return String(number).padStart(20, '0');
}

export const segmentName = (origin: string, first: number, schemaId: number): string =>
  `segment/${folderOf(origin)}/${digits(first)}-${schemaId}.avro`;

export const manifestName = (origin: string, first: number): string =>
  `manifest/${folderOf(origin)}/${digits(first)}.note`;

export const checkpointName = (origin: string, size: number): string =>
  `checkpoint/${folderOf(origin)}/${digits(size)}.note`;

export const tombstoneName = (origin: string, first: number): string =>
  `tombstone/${folderOf(origin)}/${digits(first)}.note`;

export const deletionName = (origin: string, first: number): string =>
  `tombstone/${folderOf(origin)}/${digits(first)}.done.note`;

export const anchorEntriesName = (first: number): string => `anchor/entries/${digits(first)}.bin`;

export const anchorCheckpointName = (size: number): string => `anchor/checkpoint/${digits(size)}.note`;

/** @param witness its configured name. @throws Failure `name.invalid` */
export const cosignedName = (size: number, witness: string): string =>
  `anchor/cosigned/${digits(size)}.${configured(witness)}.note`;

/** @param authority its configured name. @throws Failure `name.invalid` */
export const timestampName = (size: number, authority: string): string =>
  `anchor/timestamp/${digits(size)}.${configured(authority)}.tsr`;

export const keyName = (number: number): string => `key/${digits(number)}.note`;

export const holdName = (number: number): string => `hold/${digits(number)}.note`;

/** What an object is by its name. */
export type ObjectName =
  | { readonly kind: 'segment'; readonly folder: string; readonly first: number; readonly schemaId: number }
  | { readonly kind: 'manifest' | 'tombstone' | 'deletion'; readonly folder: string; readonly first: number }
  | { readonly kind: 'checkpoint'; readonly folder: string; readonly size: number }
  | { readonly kind: 'anchor-entries'; readonly first: number }
  | { readonly kind: 'anchor-checkpoint'; readonly size: number }
  | { readonly kind: 'cosigned'; readonly size: number; readonly witness: string }
  | { readonly kind: 'timestamp'; readonly size: number; readonly authority: string }
  | { readonly kind: 'key' | 'hold'; readonly number: number };

const FOLDER = '([a-z0-9][a-z0-9.-]{0,62}/(?:0|[1-9][0-9]{0,9}))';
const NUMBER = '([0-9]{20})';
const CONFIGURED = '([a-z0-9][a-z0-9-]{0,62})';

const FORMS: readonly [RegExp, (...parts: string[]) => ObjectName][] = [
  [
    new RegExp(`^segment/${FOLDER}/${NUMBER}-([1-9][0-9]{0,9})\\.avro$`),
    (folder, first, schema) => ({
      kind: 'segment',
      folder: folder!,
      first: Number(first),
      schemaId: Number(schema),
    }),
  ],
  [
    new RegExp(`^manifest/${FOLDER}/${NUMBER}\\.note$`),
    (folder, first) => ({ kind: 'manifest', folder: folder!, first: Number(first) }),
  ],
  [
    new RegExp(`^tombstone/${FOLDER}/${NUMBER}\\.note$`),
    (folder, first) => ({ kind: 'tombstone', folder: folder!, first: Number(first) }),
  ],
  [
    new RegExp(`^tombstone/${FOLDER}/${NUMBER}\\.done\\.note$`),
    (folder, first) => ({ kind: 'deletion', folder: folder!, first: Number(first) }),
  ],
  [
    new RegExp(`^checkpoint/${FOLDER}/${NUMBER}\\.note$`),
    (folder, size) => ({ kind: 'checkpoint', folder: folder!, size: Number(size) }),
  ],
  [
    new RegExp(`^anchor/entries/${NUMBER}\\.bin$`),
    (first) => ({ kind: 'anchor-entries', first: Number(first) }),
  ],
  [
    new RegExp(`^anchor/checkpoint/${NUMBER}\\.note$`),
    (size) => ({ kind: 'anchor-checkpoint', size: Number(size) }),
  ],
  [
    new RegExp(`^anchor/cosigned/${NUMBER}\\.${CONFIGURED}\\.note$`),
    (size, witness) => ({ kind: 'cosigned', size: Number(size), witness: witness! }),
  ],
  [
    new RegExp(`^anchor/timestamp/${NUMBER}\\.${CONFIGURED}\\.tsr$`),
    (size, authority) => ({ kind: 'timestamp', size: Number(size), authority: authority! }),
  ],
  [new RegExp(`^key/${NUMBER}\\.note$`), (number) => ({ kind: 'key', number: Number(number) })],
  [new RegExp(`^hold/${NUMBER}\\.note$`), (number) => ({ kind: 'hold', number: Number(number) })],
];

/** What an object of the bucket is; undefined when its name is none of ours. `folder` is `<topic>/<partition>`. */
export function parseObjectName(name: string): ObjectName | undefined {
  for (const [form, read] of FORMS) {
    const match = form.exec(name);
    if (match === null) continue;
    const parsed = read(...match.slice(1));
    return Object.values(parsed).every((part) => typeof part === 'string' || Number.isSafeInteger(part))
      ? parsed
      : undefined;
  }
  return undefined;
}

function configured(name: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(name)) return name;
  throw new Failure({
    code: 'name.invalid',
    retry: 'no',
    message: `${JSON.stringify(name.slice(0, 100))} cannot stand in an object's name`,
    mend: 'Use at most 63 of a-z, 0-9 and "-", beginning with a letter or digit.',
  });
}
