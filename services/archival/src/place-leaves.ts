import { type Manifest, parseOrigin, readSegment } from '@cairn/ledger';
import type { HotTable, LeafRun } from './hot-table.ts';
import { type ArchiveStore, readEvidence } from './store-object.ts';

/**
 * Writes into the hot store where the leaves of a segment lie, so that what is exported out of it names its leaf. The manifest
 * says it where every offset between its first and its last is a leaf; else the segment is read back.
 *
 * @throws Failure of the store or of ClickHouse; `segment.form`, `archive.read-back` when the segment is not what its manifest says.
 */
export async function placeLeaves(
  store: Pick<ArchiveStore, 'get'>,
  table: Pick<HotTable, 'placeLeaves'>,
  manifest: Manifest,
): Promise<void> {
  const { first, end, offsets, origin } = manifest;
  const isWhole = offsets.last - offsets.first === end - first - 1;
  const runs = isWhole
    ? [{ offsetFirst: offsets.first, offsetLast: offsets.last, leafFirst: first }]
    : await runsIn(store, manifest);
  await table.placeLeaves(parseOrigin(origin), runs);
}

async function runsIn(store: Pick<ArchiveStore, 'get'>, manifest: Manifest): Promise<LeafRun[]> {
  const parts = await Promise.all(
    manifest.objects.map(async (object) => ({
      schemaId: object.schema,
      bytes: await readEvidence(store, object),
    })),
  );
  const runs: LeafRun[] = [];
  let open: { offsetFirst: number; offsetLast: number; leafFirst: number } | undefined;
  let index = manifest.first;
  readSegment(manifest, parts, ({ offset }) => {
    if (open !== undefined && offset === open.offsetLast + 1) open.offsetLast = offset;
    else {
      open = { offsetFirst: offset, offsetLast: offset, leafFirst: index };
      runs.push(open);
    }
    index += 1;
  });
  return runs;
}
