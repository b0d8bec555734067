import { firstVersion, firstVersions } from '@cairn/adapters';
import { isFailure, messageOf } from '@cairn/failure';
import {
  anchorCheckpointName,
  checkpointName,
  manifestName,
  openCheckpoint,
  parseObjectName,
} from '@cairn/ledger';
import type { AnchorLog } from './anchor-log.ts';
import type { Finding } from './finding.ts';
import type { KnownKeys } from './known-keys.ts';
import { folderOf, NOTE_BYTES_MAX, openedManifest } from './read-manifests.ts';
import type { ArchiveStore } from './store-object.ts';

export interface VerifyNotesOptions {
  readonly store: ArchiveStore;
  readonly keys: KnownKeys;
  readonly origins: readonly string[];
  /** Caught up: what it holds of a log must be there. */
  readonly anchors: Pick<AnchorLog, 'origin' | 'size' | 'sizeOf'>;
  readonly onFinding: (finding: Finding) => void;
}

/** Greatest size of each log that an earlier run saw: it may not become less. */
export type SizesSeen = Map<string, number>;

/**
 * Looks at all notes of the archive by their names and versions: that none was replaced or hidden, that none is missing
 * between others, that no log ends before its anchored or once seen end, and that its end is what was signed.
 *
 * @returns how many notes there are.
 */
export async function verifyNotes(options: VerifyNotesOptions, seen: SizesSeen): Promise<number> {
  const { store, anchors, origins, onFinding } = options;
  let notes = 0;
  // Before the bucket is listed: what comes meanwhile is no finding.
  const known = new Map(
    [...origins, anchors.origin].map((origin) => {
      const anchored = origin === anchors.origin ? anchors.size : anchors.sizeOf(origin);
      return [origin, Math.max(anchored, seen.get(origin) ?? 0)];
    }),
  );
  const namesUnder = async (origin: string, prefix: string): Promise<string[]> => {
    const names: string[] = [];
    for await (const { key, disturbed } of firstVersions(store, prefix)) {
      if (disturbed !== undefined) {
        const name = parseObjectName(key);
        const at = name === undefined ? -1 : 'size' in name ? name.size : 'first' in name ? name.first : -1;
        onFinding({
          reason: 'disturbed',
          origin,
          at,
          detail: `${key} was ${disturbed} by a newer version`,
        });
      }
      names.push(key);
    }
    notes += names.length;
    return names;
  };
  const endsAt = (origin: string, size: number, nameOf: (size: number) => string): void => {
    const least = known.get(origin) ?? 0;
    if (size < least)
      onFinding({
        reason: 'rollback',
        origin,
        at: size,
        detail: `${nameOf(least)} was there and is not: the log ends at ${size}`,
      });
    else seen.set(origin, size);
  };

  for (const origin of origins) {
    const folder = folderOf(origin);
    // Checkpoints before manifests: those of a segment that is written meanwhile come in the other order.
    const sizes = sizesOf(await namesUnder(origin, `checkpoint/${folder}/`));
    const manifests = await namesUnder(origin, `manifest/${folder}/`);
    await namesUnder(origin, `tombstone/${folder}/`);
    const size = sizes.at(-1) ?? 0;
    endsAt(origin, size, (least) => checkpointName(origin, least));
    for (const { name, at } of missingOf(origin, sizes, manifests))
      onFinding({ reason: 'missing', origin, at, detail: `${name} is not there` });
    if (size > 0) await verifyEnd(options, origin, size, manifests);
  }

  const sizes = sizesOf(await namesUnder(anchors.origin, 'anchor/'));
  endsAt(anchors.origin, sizes.at(-1) ?? 0, anchorCheckpointName);
  await namesUnder(anchors.origin, 'key/');
  return notes;
}

/** Rising, of checkpoints among these names. */
function sizesOf(names: readonly string[]): number[] {
  return names.flatMap((key) => {
    const name = parseObjectName(key);
    return name?.kind === 'checkpoint' || name?.kind === 'anchor-checkpoint' ? [name.size] : [];
  });
}

/** Every segment begins at leaf 0 or where a checkpoint ends, and every checkpoint but the last is followed by a segment. */
function missingOf(
  origin: string,
  sizes: readonly number[],
  manifests: readonly string[],
): { readonly name: string; readonly at: number }[] {
  const size = sizes.at(-1) ?? 0;
  const firsts = new Set(
    manifests.flatMap((key) => {
      const name = parseObjectName(key);
      return name?.kind === 'manifest' && name.first < size ? [name.first] : [];
    }),
  );
  const begun = new Set([0, ...sizes.slice(0, -1)]);
  const lost = size === 0 ? [] : [...begun].filter((first) => !firsts.has(first));
  const unsigned = [...firsts].filter((first) => !begun.has(first));
  return [
    ...lost.map((at) => ({ name: manifestName(origin, at), at })),
    ...unsigned.map((at) => ({ name: checkpointName(origin, at), at })),
  ];
}

/** The latest checkpoint and the manifest that leads to it are signed, and of one root. */
async function verifyEnd(
  { store, keys, onFinding }: VerifyNotesOptions,
  origin: string,
  size: number,
  manifests: readonly string[],
): Promise<void> {
  const find = (reason: Finding['reason'], detail: string): void =>
    onFinding({ reason, origin, at: size, detail });
  const read = async (key: string): Promise<Uint8Array> =>
    store.get(key, { version: await firstVersion(store, key), bytesMax: NOTE_BYTES_MAX });
  const name = checkpointName(origin, size);
  let root: string;
  try {
    const checkpoint = openCheckpoint(await read(name), keys.log(origin, size), origin);
    if (checkpoint.size !== size)
      return find('checkpoint-form', `${name} is a checkpoint of ${checkpoint.size}`);
    root = Buffer.from(checkpoint.root, 'latin1').toString('hex');
  } catch (error) {
    if (!isFailure(error) || isAway(error)) throw error;
    return find('checkpoint-form', `${name} does not open: ${messageOf(error)}`);
  }
  const last = manifests.findLast((key) => {
    const parsed = parseObjectName(key);
    return parsed?.kind === 'manifest' && parsed.first < size;
  });
  // That there is none was told.
  if (last === undefined) return;
  try {
    const manifest = openedManifest(await read(last), keys, origin);
    if (manifest.end === size && manifest.root !== root)
      find('root-mismatch', `${last} leads to another root than ${name}`);
  } catch (error) {
    if (!isFailure(error) || isAway(error)) throw error;
    find('manifest-form', `${last} does not open: ${messageOf(error)}`);
  }
}

/** The store says nothing now; what it says of the archive is for the next run. */
const isAway = (error: unknown): boolean =>
  isFailure(error) && (error.code === 's3.unreachable' || error.code === 's3.busy');
