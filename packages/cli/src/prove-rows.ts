import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  type ArchivedSegment,
  differenceOf,
  type Evidence,
  openEvidence,
  readArchive,
  readKeys,
  readLeaves,
} from '@cairn/archive';
import { Failure } from '@cairn/failure';
import { hexOfHash, type Leaf, originOf } from '@cairn/ledger';
import type { FoundEvent } from '@cairn/query';
import { visible } from '@cairn/session';
import type { CliConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
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
 * `cairn proof --rows FILE`: whether each line of an export is what the archive holds. Of NDJSON every field is compared with the
 * event's own bytes; OCSF and ECS are translations, so of them the leaf hash and the leaf index are. Each leaf leads to a signed
 * root. A row that is not archived yet cannot be judged, and is counted.
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
  const tell = ({ line, reason }: Wrong): void => {
    sum.wrong += 1;
    if (sum.wrong > TOLD_MAX) return;
    output.value({ line, reason });
    output.line(visible(`line ${line}: ${reason}`));
  };
  for await (const rows of rowsOf(file)) {
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

/** As `cairn verify` has it. */
const NOT_VERIFIABLE = 2;

/** One line of the file. */
interface Row {
  readonly line: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly leafHash: string;
  /** Null where the export did not know it. */
  readonly leafIndex: number | null;
  /** The event, where the line is it and no translation. */
  readonly event: FoundEvent | undefined;
}

async function* rowsOf(file: string): AsyncGenerator<Row[]> {
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
  let rows: Row[] = [];
  let line = 0;
  for await (const text of lines) {
    line += 1;
    if (text === '' || text.startsWith('{"_end":')) continue;
    rows.push(rowOf(file, line, text));
    if (rows.length < ROWS) continue;
    yield rows;
    rows = [];
  }
  yield rows;
}

function rowOf(file: string, line: number, text: string): Row {
  let value: Record<string, unknown> | undefined;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw noRow(file, line);
  }
  const translated = (value['unmapped'] as { cairn?: unknown } | undefined)?.cairn ?? value['cairn'];
  const place = (translated as { proof?: unknown } | undefined)?.proof ?? value;
  const {
    topic,
    partition,
    offset,
    leaf_hash: leafHash,
    leaf_index: leafIndex = null,
  } = place as Readonly<Record<string, unknown>>;
  if (
    typeof topic !== 'string' ||
    typeof leafHash !== 'string' ||
    !Number.isSafeInteger(partition) ||
    !Number.isSafeInteger(offset) ||
    (leafIndex !== null && !Number.isSafeInteger(leafIndex))
  )
    throw noRow(file, line);
  const [at, number] = [offset as number, partition as number];
  const event = place === value ? ({ ...value, store: 'archive' } as unknown as FoundEvent) : undefined;
  return {
    line,
    topic,
    partition: number,
    offset: at,
    leafHash,
    leafIndex: leafIndex as number | null,
    event,
  };
}

/** The segment that holds an offset or ends behind it; undefined when the archive does not come so far. */
function segmentOf(
  segments: readonly ArchivedSegment[],
  deployment: string,
  { topic, partition, offset }: Row,
): ArchivedSegment | undefined {
  const origin = originOf({ deployment, topic, partition });
  return segments.find(({ manifest }) => manifest.origin === origin && offset <= manifest.offsets.last);
}

interface Wrong {
  readonly line: number;
  readonly reason: string;
}

/** Nothing is said before all leaves of the segment were seen to be those of its manifest. @throws Failure `archive.broken` */
async function wrongOf(
  evidence: Evidence,
  { placed }: ArchivedSegment,
  rows: readonly Row[],
): Promise<Wrong[]> {
  const byOffset = Map.groupBy(rows, ({ offset }) => offset);
  const wrong: Wrong[] = [];
  await readLeaves(evidence, placed, (leaf, index) => {
    for (const row of byOffset.get(leaf.offset) ?? []) {
      const reason = mistakeOf(row, leaf, index);
      if (reason !== undefined) wrong.push({ line: row.line, reason });
    }
    byOffset.delete(leaf.offset);
  });
  const absent = [...byOffset.values()].flat();
  wrong.push(
    ...absent.map(({ line, offset }) => ({ line, reason: `offset ${offset} is no leaf of its log` })),
  );
  return wrong.toSorted((one, other) => one.line - other.line);
}

function mistakeOf({ leafHash, leafIndex, event }: Row, leaf: Leaf, index: number): string | undefined {
  if (leafHash !== hexOfHash(leaf.hash)) return `its leaf hash is not that of leaf ${index}`;
  if (leafIndex !== null && leafIndex !== index) return `it says leaf ${leafIndex}, and is leaf ${index}`;
  const field = event && differenceOf(event, leaf);
  return field === undefined ? undefined : `its ${field} is not that of leaf ${index}`;
}

const noRow = (file: string, line: number): Failure =>
  new Failure({
    code: 'export.unreadable',
    retry: 'no',
    message: `line ${line} of ${file} is no row of an export with its place in the log`,
    mend: 'Name an export in NDJSON, OCSF or ECS; CSV, JSON and Parquet are looked up by their columns, row by row, with `cairn proof`.',
  });
