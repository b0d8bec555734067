import { decodeDatum } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import { hexOfHash, type Leaf, type Manifest, readSegment } from '@cairn/ledger';
import type { Finding } from './finding.ts';
import { comparable, type HotRow, type HotTable, type Place } from './hot-table.ts';
import { type ArchiveStore, readEvidence } from './store-object.ts';

/** A row that is not as the archive has it. */
export interface Difference {
  readonly offset: number;
  /**
   * - `missing`: a leaf without a row.
   * - `refused`: a leaf without a row, of which ingest declared that the table refused it.
   * - `extra`: a row without a leaf.
   * - `doubled`: more than one row.
   * - `differs`: a row that says something else; `columns` names what.
   */
  readonly what: 'missing' | 'refused' | 'extra' | 'doubled' | 'differs';
  readonly columns: readonly string[];
}

export interface Comparison {
  readonly rows: number;
  readonly differences: readonly Difference[];
}

/** Leaves that are compared with one answer of the hot store. */
const PAGE = 4_096;

/**
 * Compares a segment, read back from the store, with the rows of its offsets, value by value: every leaf is one row, every
 * row is one leaf, and each column says what the event says.
 *
 * @param after offset of the last leaf before the segment; rows between belong to no leaf. −1 for the first segment.
 * @param wanted by when the broker received it: only those leaves are compared.
 * @throws Failure of the store or of ClickHouse; `segment.form`, `archive.read-back` when the segment is not what its manifest says.
 */
export async function compareRows(
  store: Pick<ArchiveStore, 'get'>,
  table: HotTable,
  place: Place,
  manifest: Manifest,
  after: number,
  wanted: (receivedAtMs: number) => boolean = () => true,
): Promise<Comparison> {
  const differences: Difference[] = [];
  let rows = 0;
  const all = await leavesOf(store, manifest);
  const leaves = all.filter(({ receivedAtMs }) => wanted(receivedAtMs));
  // Rows before the first leaf are looked for as well, where no leaf stands there that was left out.
  let from = leaves[0] === all[0] ? after + 1 : (leaves[0]?.offset ?? 0);
  for (let at = 0; at < leaves.length; at += PAGE) {
    const page = leaves.slice(at, at + PAGE);
    const to = page.at(-1)!.offset;
    const found = await table.rows(place, from, to);
    rows += found.length;
    const compared = comparePage(page, found);
    const missing = compared.filter(({ what }) => what === 'missing');
    const declared = missing.length === 0 ? new Set<number>() : await table.refused(place, from, to);
    for (const difference of compared) {
      const { what, offset } = difference;
      differences.push(
        what === 'missing' && declared.has(offset) ? { ...difference, what: 'refused' } : difference,
      );
    }
    from = to + 1;
  }
  return { rows, differences };
}

/** What a failure to read a segment back says of the archive; undefined when it says nothing of it. */
export function damageOf(error: unknown): Finding['reason'] | undefined {
  if (isFailure(error, 's3.missing')) return 'missing';
  if (isFailure(error, 'archive.read-back') || isFailure(error, 's3.too-large')) return 'object-altered';
  if (isFailure(error, 'segment.form') || isFailure(error, 'segment.datum')) return 'segment-form';
  return undefined;
}

/** A leaf with its own copy of its bytes. */
type HeldLeaf = Pick<Leaf, 'offset' | 'receivedAtMs' | 'schemaId' | 'hash'> & { readonly datum: Uint8Array };

async function leavesOf(store: Pick<ArchiveStore, 'get'>, manifest: Manifest): Promise<HeldLeaf[]> {
  const parts = await Promise.all(
    manifest.objects.map(async (object) => ({
      schemaId: object.schema,
      bytes: await readEvidence(store, object),
    })),
  );
  const leaves: HeldLeaf[] = [];
  readSegment(manifest, parts, ({ offset, receivedAtMs, schemaId, hash, bytes, start, end }) => {
    leaves.push({ offset, receivedAtMs, schemaId, hash, datum: bytes.slice(start, end) });
  });
  return leaves;
}

/** Both by rising offset. */
function comparePage(leaves: readonly HeldLeaf[], rows: readonly HotRow[]): Difference[] {
  const differences: Difference[] = [];
  const differ = (offset: number, what: Difference['what'], columns: readonly string[] = []): void =>
    void differences.push({ offset, what, columns });
  let at = 0;
  for (const leaf of leaves) {
    while (at < rows.length && rows[at]!.offset < leaf.offset) differ(rows[at++]!.offset, 'extra');
    const row = rows[at];
    if (row?.offset !== leaf.offset) {
      differ(leaf.offset, 'missing');
      continue;
    }
    at += 1;
    while (rows[at]?.offset === leaf.offset) {
      differ(leaf.offset, 'doubled');
      at += 1;
    }
    const columns = differingColumns(leaf, row);
    if (columns.length > 0) differ(leaf.offset, 'differs', columns);
  }
  for (; at < rows.length; at += 1) differ(rows[at]!.offset, 'extra');
  return differences;
}

function differingColumns(leaf: HeldLeaf, row: HotRow): string[] {
  const columns: string[] = [];
  if (row.leafHash !== hexOfHash(leaf.hash)) columns.push('leaf_hash');
  if (row.receivedAtMs !== leaf.receivedAtMs) columns.push('received_at');
  const event = comparable(decodeDatum(leaf.datum, leaf.schemaId));
  for (const [name, value] of Object.entries(event)) {
    const held = row.fields[name];
    // A row leaves out the link to the event before where it is that event's leaf hash, and a signature that is none.
    if (held === '' && (name === 'prev_hash' || (name === 'signature' && value === null))) continue;
    if (held !== value && JSON.stringify(held) !== JSON.stringify(value)) columns.push(name);
  }
  return columns;
}
