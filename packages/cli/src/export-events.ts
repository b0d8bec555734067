import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, messageOf } from '@cairn/failure';
import { visible } from '@cairn/session';
import { type ApiAccess, askApi } from './ask-api.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import { ProgressBar } from './progress-bar.ts';

export const FORMS = ['ndjson', 'json', 'csv', 'parquet', 'ocsf', 'ecs'] as const;
export type Form = (typeof FORMS)[number];

export interface EventExport {
  readonly form: Form;
  /** Written beside it first, under this name with `.part` behind. */
  readonly file: string;
  readonly search: string;
}

/** Times that a download is taken up again without getting further. */
const ATTEMPTS = 5;
const PAUSE_MS = 500;
const NEWLINE = 10;

/**
 * Downloads all events that a search finds into a file, which is there only when it is whole. An NDJSON download that is cut off
 * goes on behind its last whole line. What came as NDJSON, OCSF or ECS is compared with the count and the hash that the service sent.
 *
 * @throws Failure `api.refused` (no), `api.unreachable` (later), `export.incomplete` (later), `export.differs` (no)
 */
export async function exportEvents(
  output: Output,
  api: ApiAccess,
  { form, file, search }: EventExport,
  progress: Writable,
): Promise<number> {
  const asked = new URLSearchParams({ search });
  const { count, hot_from: hotFrom } = (await (await askApi(api, `/v1/exports/count?${asked}`)).json()) as {
    count: number;
    hot_from?: string | null;
  };
  const bar = new ProgressBar(progress);
  const part = `${file}.part`;
  const handle = await open(part, 'w');
  try {
    const rows = isLines(form)
      ? await downloadLines(api, asked, form, handle, count, bar)
      : await download(api, asked, form, handle, count, bar);
    await handle.sync();
    await handle.close();
    await rename(part, file);
    bar.end();
    output.value({ file, form, events: rows ?? count });
    output.line(`${file}: ${rows ?? count} events`);
    if (typeof hotFrom === 'string')
      output.note(
        `It holds what ClickHouse has: events received from ${visible(hotFrom)} on. What is older is in the archive (cairn search --over both, cairn bundle).`,
      );
    return EXIT.ok;
  } catch (error) {
    bar.end();
    await handle.close().catch(() => {});
    await rm(part, { force: true });
    throw error;
  }
}

type Lines = 'ndjson' | 'ocsf' | 'ecs';
const isLines = (form: Form): form is Lines => form === 'ndjson' || form === 'ocsf' || form === 'ecs';

/** @returns undefined: what has no last line of its own does not say how many events came. */
async function download(
  api: ApiAccess,
  asked: URLSearchParams,
  form: Exclude<Form, Lines>,
  handle: FileHandle,
  count: number,
  bar: ProgressBar,
): Promise<undefined> {
  const answer = await askApi(api, `/v1/exports/events?${asked}&format=${form}`);
  let [bytes, breaks] = [0, 0];
  try {
    for await (const chunk of answer.body!) {
      await handle.write(chunk);
      bytes += chunk.length;
      if (form === 'parquet') bar.showBytes(bytes);
      else {
        // Nearly: a cell of CSV may hold a line break.
        breaks += countOf(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
        bar.showCount({ count: Math.min(breaks, count), of: count, what: 'events' });
      }
    }
  } catch (error) {
    throw incomplete(messageOf(error));
  }
  return undefined;
}

interface Place {
  readonly timestamp: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** A row of OCSF or ECS does not have its place to the microsecond, so that nothing goes on behind it. @returns how many events were written. */
async function downloadLines(
  api: ApiAccess,
  asked: URLSearchParams,
  form: Lines,
  handle: FileHandle,
  count: number,
  bar: ProgressBar,
): Promise<number> {
  let rows = 0;
  let start: string | undefined;
  let last: Place | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const after = start === undefined || last === undefined ? '' : `&after=${behind(start, last)}`;
    const answer = await askApi(api, `/v1/exports/events?${asked}&format=${form}${after}`);
    start ??= answer.headers.get('cairn-start') ?? undefined;
    const before = rows;
    const piece = { hash: createHash('sha256'), rows: 0 };
    try {
      for await (const lines of wholeLines(answer.body!)) {
        const end = endOf(lines);
        const body = end === undefined ? lines : lines.subarray(0, end.at);
        if (body.length > 0) {
          await handle.write(body);
          piece.rows += countOf(body);
          rows += countOf(body);
          piece.hash.update(body);
          if (form === 'ndjson') last = JSON.parse(lastLine(body)) as Place;
          bar.showCount({ count: rows, of: Math.max(count, rows), what: 'events' });
        }
        if (end === undefined) continue;
        compare(piece, end);
        return rows;
      }
    } catch (error) {
      if (error instanceof Failure) throw error;
    }
    if (form !== 'ndjson' && rows > 0) throw incomplete('it was cut off');
    if (rows > before) attempt = 0;
    if (attempt === ATTEMPTS) throw incomplete(`it was cut off ${ATTEMPTS} times without getting further`);
    await sleep(PAUSE_MS);
  }
}

/** Cursor behind a row, made of the one of the beginning. */
function behind(start: string, { timestamp, topic, partition, offset }: Place): string {
  const cursor = JSON.parse(Buffer.from(start, 'base64url').toString()) as object;
  return Buffer.from(JSON.stringify({ ...cursor, at: { timestamp, topic, partition, offset } })).toString(
    'base64url',
  );
}

/** Pieces that end with a line; what stands behind the last line break when the stream ends is left out. */
async function* wholeLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  for await (const chunk of body) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    if (end === 0) {
      rest.push(bytes);
      continue;
    }
    yield Buffer.concat([...rest, bytes.subarray(0, end)]);
    rest = [bytes.subarray(end)];
  }
}

interface End {
  readonly at: number;
  readonly count: number;
  readonly sha256: string;
}

/** The last line of an export, which is no event. */
function endOf(lines: Buffer): End | undefined {
  const text = lastLine(lines);
  if (!text.startsWith('{"_end":')) return undefined;
  const { _end: end } = JSON.parse(text) as { _end: { count: number; sha256: string } };
  return { at: lines.length - Buffer.byteLength(text) - 1, ...end };
}

const lastLine = (lines: Buffer): string =>
  lines.subarray(lines.lastIndexOf(NEWLINE, lines.length - 2) + 1, lines.length - 1).toString();

function countOf(lines: Buffer): number {
  let count = 0;
  for (let at = lines.indexOf(NEWLINE); at !== -1; at = lines.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}

function compare({ hash, rows }: { readonly hash: Hash; readonly rows: number }, end: End): void {
  if (rows === end.count && hash.digest('hex') === end.sha256) return;
  throw new Failure({
    code: 'export.differs',
    retry: 'no',
    message: `what came is not what was sent: ${rows} events of ${end.count}`,
    mend: 'Something between here and the service changes answers. Ask it directly.',
  });
}

const incomplete = (why: string): Failure =>
  new Failure({
    code: 'export.incomplete',
    retry: 'later',
    message: `the export is not whole: ${why}`,
    mend: 'Run it again.',
  });
