import { firstVersion, firstVersions } from '@cairn/adapters';
import { messageOf } from '@cairn/failure';
import { type Manifest, parseObjectName, parseOrigin, tombstoneName } from '@cairn/ledger';
import { compareRows, damageOf } from './compare-rows.ts';
import type { Finding } from './finding.ts';
import type { HotTable } from './hot-table.ts';
import type { KnownKeys } from './known-keys.ts';
import { placeLeaves } from './place-leaves.ts';
import { committedSize, folderOf, NOTE_BYTES_MAX, openedManifest } from './read-manifests.ts';
import type { ArchiveStore } from './store-object.ts';

export interface ReconcileOptions {
  readonly store: ArchiveStore;
  readonly keys: KnownKeys;
  readonly table: HotTable;
  readonly origins: readonly string[];
  /** Segments whose events the broker received in [from, to), milliseconds since 1970. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly onFinding: (finding: Finding) => void;
}

export interface Reconciled {
  readonly segments: number;
  readonly rows: number;
  readonly differing: number;
}

/** Differing rows of a segment that are told one by one. */
const TOLD_MAX = 20;

/**
 * Compares what ClickHouse holds with the archive, row by row and value by value, and names each row that is not as the
 * archive has it: rewritten, deleted, invented or doubled. It changes no row. Where the leaves of each segment lie is written
 * once more, for what was not written when the segment was.
 */
export async function reconcileTable(options: ReconcileOptions): Promise<Reconciled> {
  const { store, keys, table, origins, fromMs, toMs, onFinding } = options;
  const sum = { segments: 0, rows: 0, differing: 0 };
  for (const origin of origins) {
    const place = parseOrigin(origin);
    for await (const { manifest, after } of recentManifests(store, keys, origin, fromMs)) {
      if (manifest.received.max >= toMs) continue;
      if ((await store.head(tombstoneName(origin, manifest.first))) !== undefined) continue;
      const compared = await compareRows(store, table, place, manifest, after).catch((error: unknown) => {
        const reason = damageOf(error);
        if (reason === undefined) throw error;
        const detail = `the segment of leaf ${manifest.first} cannot be read back: ${messageOf(error)}`;
        onFinding({ reason, origin, at: manifest.first, detail });
      });
      if (compared === undefined) continue;
      await placeLeaves(store, table, manifest);
      const { rows, differences } = compared;
      sum.segments += 1;
      sum.rows += rows;
      sum.differing += differences.length;
      for (const { offset, what, columns } of differences.slice(0, TOLD_MAX)) {
        const detail =
          what === 'differs'
            ? `the row of offset ${offset} differs in ${columns.join(', ')}`
            : {
                missing: `offset ${offset} has no row`,
                refused: `offset ${offset} has no row, and ingest declared that the table refused it`,
                extra: `the row of offset ${offset} is no event of the archive`,
                doubled: `offset ${offset} has more than one row`,
              }[what];
        onFinding({ reason: 'row-differs', origin, at: offset, detail });
      }
      if (differences.length > TOLD_MAX) {
        const detail = `${differences.length} rows of the segment of leaf ${manifest.first} differ`;
        onFinding({ reason: 'row-differs', origin, at: manifest.offsets.first, detail });
      }
    }
  }
  return sum;
}

/**
 * The committed manifests of a log, the latest first, back to those whose events were all received before an instant.
 * `after` is the offset of the last leaf before each.
 */
export async function* recentManifests(
  store: ArchiveStore,
  keys: KnownKeys,
  origin: string,
  fromMs: number,
): AsyncGenerator<{ readonly manifest: Manifest; readonly note: Uint8Array; readonly after: number }> {
  const size = await committedSize(store, origin);
  const keysByFirst: string[] = [];
  for await (const { key } of firstVersions(store, `manifest/${folderOf(origin)}/`)) {
    const name = parseObjectName(key);
    if (name?.kind === 'manifest' && name.first < size) keysByFirst.push(key);
  }
  const read = async (key: string | undefined) => {
    if (key === undefined) return undefined;
    const note = await store.get(key, { version: await firstVersion(store, key), bytesMax: NOTE_BYTES_MAX });
    return { manifest: openedManifest(note, keys, origin), note };
  };
  let here = await read(keysByFirst.pop());
  while (here !== undefined) {
    const before = await read(keysByFirst.pop());
    yield { ...here, after: before?.manifest.offsets.last ?? -1 };
    if (before === undefined || before.manifest.received.max < fromMs) return;
    here = before;
  }
}
