import {
  type ArchivedSegment,
  differenceOf,
  type Evidence,
  openEvidence,
  readArchive,
  readKeys,
  readLeaves,
} from '@cairn/archive';
import { hexOfHash, type Leaf, originOf } from '@cairn/ledger';
import { visible } from '@cairn/session';
import type { CliConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import { type ExportedRow, type RowPlace, readExport } from './read-export.ts';
import { readTrusted } from './trusted.ts';

export interface RowsOptions {
  readonly from: string;
  readonly root?: string;
}

/** Rows that are looked up together: few segments are read twice, and memory stays bounded. */
const ROWS = 50_000;
/** Rows that are named one by one. */
const TOLD_MAX = 20;

/**
 * `cairn proof --rows FILE`: whether each row of an export is what the archive holds. Of NDJSON, JSON and Parquet every field is compared
 * with the event's own bytes; OCSF, ECS and CSV are translations, so of them the leaf hash and the leaf index are. Each leaf leads to a
 * signed root. A row that is not archived yet cannot be judged, and is counted.
 */
export async function proveRows(
  output: Output,
  config: CliConfig,
  file: string,
  options: RowsOptions,
): Promise<number> {
  const { rootKey } = await readTrusted(options, config.rootKey);
  await using evidence = await openEvidence(options.from, config.s3);
  const { history } = await readKeys(evidence, rootKey);
  const segments = await readArchive(evidence, history, undefined);
  const sum = { rows: 0, proven: 0, wrong: 0, unarchived: 0, deleted: 0 };
  const tell = ({ at: { unit, number }, reason }: Wrong): void => {
    sum.wrong += 1;
    if (sum.wrong > TOLD_MAX) return;
    output.value({ [unit]: number, reason });
    output.line(visible(`${unit} ${number}: ${reason}`));
  };
  for await (const rows of together(readExport(file))) {
    sum.rows += rows.length;
    const bySegment = Map.groupBy(rows, (row) => segmentOf(segments, history.deployment, row));
    for (const [segment, its] of bySegment) {
      if (segment === undefined) sum.unarchived += its.length;
      else if (segment.isDeleted) sum.deleted += its.length;
      else for (const wrong of await wrongOf(evidence, segment, its)) tell(wrong);
    }
  }
  sum.proven = sum.rows - sum.wrong - sum.unarchived - sum.deleted;
  output.value(sum);
  output.line(
    `${sum.rows} rows: ${sum.proven} are leaves under signed roots, ${sum.wrong} are not what the archive holds, ` +
      `${sum.unarchived} are not archived yet, ${sum.deleted} are of segments that were deleted under policy.`,
  );
  if (sum.wrong > 0) return EXIT.failed;
  return sum.unarchived + sum.deleted > 0 ? NOT_VERIFIABLE : EXIT.ok;
}

async function* together(rows: AsyncIterable<ExportedRow>): AsyncGenerator<ExportedRow[]> {
  let some: ExportedRow[] = [];
  for await (const row of rows) {
    some.push(row);
    if (some.length < ROWS) continue;
    yield some;
    some = [];
  }
  yield some;
}

/** As `cairn verify` has it. */
const NOT_VERIFIABLE = 2;

/** The segment that holds an offset or ends behind it; undefined when the archive does not come so far. */
function segmentOf(
  segments: readonly ArchivedSegment[],
  deployment: string,
  { topic, partition, offset }: ExportedRow,
): ArchivedSegment | undefined {
  const origin = originOf({ deployment, topic, partition });
  return segments.find(({ manifest }) => manifest.origin === origin && offset <= manifest.offsets.last);
}

interface Wrong {
  readonly at: RowPlace;
  readonly reason: string;
}

/** Nothing is said before all leaves of the segment were seen to be those of its manifest. @throws Failure `archive.broken` */
async function wrongOf(
  evidence: Evidence,
  { placed }: ArchivedSegment,
  rows: readonly ExportedRow[],
): Promise<Wrong[]> {
  const byOffset = Map.groupBy(rows, ({ offset }) => offset);
  const wrong: Wrong[] = [];
  await readLeaves(evidence, placed, (leaf, index) => {
    for (const row of byOffset.get(leaf.offset) ?? []) {
      const reason = mistakeOf(row, leaf, index);
      if (reason !== undefined) wrong.push({ at: row.at, reason });
    }
    byOffset.delete(leaf.offset);
  });
  const absent = [...byOffset.values()].flat();
  wrong.push(...absent.map(({ at, offset }) => ({ at, reason: `offset ${offset} is no leaf of its log` })));
  return wrong.toSorted((one, other) => one.at.number - other.at.number);
}

function mistakeOf(
  { leafHash, leafIndex, event }: ExportedRow,
  leaf: Leaf,
  index: number,
): string | undefined {
  if (leafHash !== hexOfHash(leaf.hash)) return `its leaf hash is not that of leaf ${index}`;
  if (leafIndex !== null && leafIndex !== index) return `it says leaf ${leafIndex}, and is leaf ${index}`;
  const field = event && differenceOf(event, leaf);
  return field === undefined ? undefined : `its ${field} is not that of leaf ${index}`;
}
