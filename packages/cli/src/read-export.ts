// Files of exports as `GET /v1/exports/events` writes them, told apart by how they begin:
//
//   ndjson, ocsf, ecs    {…}                     one event a line; the last is {"_end":{…}}
//   json                 {"events":[             then one event a line, a comma behind each but the last; the last line is ],"count":…}
//   csv                  "timestamp","topic",…   names of columns, then RFC 4180: a cell in quotes may hold line breaks
//   parquet              PAR1                    told by its first four bytes: columns of the names and values that NDJSON has
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Failure, isFailure } from '@cairn/failure';
import type { FoundEvent } from '@cairn/query';
import { isParquet, readParquet } from './read-parquet.ts';

/** One event of an export. */
export interface ExportedRow {
  /** Which of the file: the line at which it begins, or, where there are no lines, its number. Both from 1. */
  readonly at: RowPlace;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly leafHash: string;
  /** Null where the export did not know it. */
  readonly leafIndex: number | null;
  /** The event, where the row is it and no translation. */
  readonly event: FoundEvent | undefined;
}

export interface RowPlace {
  readonly unit: 'line' | 'row';
  readonly number: number;
}

type Fields = Readonly<Record<string, unknown>>;

interface Form {
  /** The first line is no event. */
  readonly hasHead: boolean;
  /** Whether what begins so goes on in the next line. */
  isOpen(text: string): boolean;
  /** Undefined for what stands between the rows and behind them. */
  read(text: string, line: number): ExportedRow | undefined;
}

const JSON_BEGINS = '{"events":[';

/** The rows of a file, one after the other. @throws Failure `export.unreadable` at the first that is none. */
export async function* readExport(file: string): AsyncGenerator<ExportedRow> {
  yield* (await isParquet(file)) ? readRows(file) : readLines(file);
}

async function* readRows(file: string): AsyncGenerator<ExportedRow> {
  let number = 0;
  try {
    for await (const fields of readParquet(file)) {
      number += 1;
      yield rowOfFields(file, { unit: 'row', number }, fields);
    }
  } catch (error) {
    // What the reader throws of a file that somebody else made is no mistake of ours.
    throw isFailure(error) ? error : noRow(file, { unit: 'row', number: number + 1 });
  }
}

async function* readLines(file: string): AsyncGenerator<ExportedRow> {
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
  let form: Form | undefined;
  let [line, begins, record] = [0, 0, ''];
  for await (const text of lines) {
    line += 1;
    if (form === undefined) {
      form = formOf(file, text);
      if (form.hasHead) continue;
    }
    if (record === '') begins = line;
    record = record === '' ? text : `${record}\n${text}`;
    if (record === '' || form.isOpen(record)) continue;
    const row = form.read(record, begins);
    record = '';
    if (row !== undefined) yield row;
  }
  if (record !== '') throw noRow(file, lineAt(begins));
}

function formOf(file: string, first: string): Form {
  const isOpen = () => false;
  if (first === JSON_BEGINS)
    return {
      hasHead: true,
      isOpen,
      read: (text, line) =>
        text.startsWith('],"count":') ? undefined : rowOfJson(file, line, text.replace(/,$/, '')),
    };
  if (first.startsWith('{'))
    return {
      hasHead: false,
      isOpen,
      read: (text, line) => (text.startsWith('{"_end":') ? undefined : rowOfJson(file, line, text)),
    };
  const names = cellsOf(first);
  if (!names.includes('leaf_hash')) throw noRow(file, lineAt(1));
  return {
    hasHead: true,
    isOpen: (record) => (record.match(/"/g)?.length ?? 0) % 2 === 1,
    read: (record, line) => rowOfCells(file, line, names, cellsOf(record)),
  };
}

function rowOfJson(file: string, line: number, text: string): ExportedRow {
  let value: Fields;
  try {
    value = JSON.parse(text) as Fields;
  } catch {
    throw noRow(file, lineAt(line));
  }
  return rowOfFields(file, lineAt(line), value);
}

const lineAt = (number: number): RowPlace => ({ unit: 'line', number });

function rowOfFields(file: string, at: RowPlace, value: Fields): ExportedRow {
  const translated = (value['unmapped'] as { cairn?: unknown } | undefined)?.cairn ?? value['cairn'];
  const place = ((translated as { proof?: unknown } | undefined)?.proof ?? value) as Fields;
  const event = place === value ? ({ ...value, store: 'archive' } as unknown as FoundEvent) : undefined;
  return { ...placeOf(file, at, place), event };
}

function rowOfCells(
  file: string,
  line: number,
  names: readonly string[],
  cells: readonly string[],
): ExportedRow {
  const { topic, partition, offset, leaf_hash, leaf_index } = Object.fromEntries(
    names.map((name, at) => [name, cells[at]]),
  );
  const place = {
    topic,
    partition: numberOf(partition),
    offset: numberOf(offset),
    leaf_hash,
    leaf_index: leaf_index === '' ? null : numberOf(leaf_index),
  };
  return { ...placeOf(file, lineAt(line), place), event: undefined };
}

const cellsOf = (record: string): string[] =>
  [...record.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );

const numberOf = (cell: string | undefined): number =>
  cell !== undefined && /^\d{1,16}$/.test(cell) ? Number(cell) : Number.NaN;

function placeOf(file: string, at: RowPlace, place: Fields): Omit<ExportedRow, 'event'> {
  const { topic, partition, offset, leaf_hash: leafHash, leaf_index: leafIndex = null } = place;
  if (
    typeof topic !== 'string' ||
    typeof leafHash !== 'string' ||
    !Number.isSafeInteger(partition) ||
    !Number.isSafeInteger(offset) ||
    (leafIndex !== null && !Number.isSafeInteger(leafIndex))
  )
    throw noRow(file, at);
  return {
    at,
    topic,
    partition: partition as number,
    offset: offset as number,
    leafHash,
    leafIndex: leafIndex as number | null,
  };
}

const noRow = (file: string, { unit, number }: RowPlace): Failure =>
  new Failure({
    code: 'export.unreadable',
    retry: 'no',
    message: `${unit} ${number} of ${file} is no row of an export with its place in the log`,
    mend: 'Name an export as it came, in NDJSON, JSON, CSV, Parquet, OCSF or ECS.',
  });
