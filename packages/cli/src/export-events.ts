import type { Writable } from 'node:stream';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import { visible } from '@cairn/session';
import { type ApiAccess, ApiRefusal, askApi } from './ask-api.ts';
import { EXIT } from './exit-codes.ts';
import { ExportPart } from './export-part.ts';
import type { Output } from './output.ts';
import { ProgressBar } from './progress-bar.ts';
import { answerReader, type Form } from './read-answer.ts';

export interface EventExport {
  readonly form: Form;
  /** Written beside it first (export-part.ts). */
  readonly file: string;
  readonly search: string;
  /** Goes on with what an earlier run left, where it left something. */
  readonly resume: boolean;
}

/** What surrounds a download. */
export interface ExportAround {
  readonly progress: Writable;
  readonly sleep: (ms: number) => Promise<void>;
}

/** Waits before a download is taken up again without having got further: a minute together, in which a service starts again. */
const PAUSES_MS = [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
const PAUSE_MS_MAX = 60_000;

/**
 * Downloads all events that a search finds into a file, which is there only when it is whole. What is cut off goes on behind its last
 * whole row, within this run and, with `resume`, in a later one; Parquet, which nothing can be put behind, begins anew. The file is, byte
 * for byte, what an export without a cut would be. What came as NDJSON, OCSF or ECS is compared with the hash that the service sent.
 *
 * @throws Failure `api.refused` (no, later), `api.unreachable` (later), `export.incomplete` (later), `export.differs` (no)
 */
export async function exportEvents(
  output: Output,
  api: ApiAccess,
  { form, file, search, resume }: EventExport,
  { progress, sleep }: ExportAround,
): Promise<number> {
  const asked = new URLSearchParams({ search });
  const { count, hot_from: hotFrom } = (await (await askApi(api, `/v1/exports/count?${asked}`)).json()) as {
    count: number;
    hot_from?: string | null;
  };
  const of = { form, search, file };
  const left = resume ? await ExportPart.resume(of) : undefined;
  const part = left ?? (await ExportPart.begin(of));
  if (left !== undefined) output.note(`It goes on behind ${left.rows} events.`);
  else if (resume) output.note('No earlier run left anything: it begins at the beginning.');
  const bar = new ProgressBar(progress);
  try {
    const end = await download(api, of, part, sleep, () => {
      if (form === 'parquet') bar.showBytes(part.bytes);
      else bar.showCount({ count: part.rows, of: Math.max(count, part.rows), what: 'events' });
    });
    await part.finish(end);
  } catch (error) {
    // What differs from what was sent is worth nothing; of anything else the rows that came are.
    const isLeft = part.rows > 0 && !isFailure(error, 'export.differs');
    await (isLeft ? part.leave() : part.abandon());
    throw isLeft ? leftOf(file, part.rows, error) : error;
  } finally {
    bar.end();
  }
  const events = form === 'parquet' ? count : part.rows;
  output.value({ file, form, events });
  output.line(`${file}: ${events} events`);
  if (typeof hotFrom === 'string')
    output.note(
      `It holds what ClickHouse has: events received from ${visible(hotFrom)} on. What is older is in the archive (cairn search --over both, cairn bundle).`,
    );
  return EXIT.ok;
}

/** Answer after answer, each behind the last, until one is whole. @returns what stands behind the last row. */
async function download(
  api: ApiAccess,
  of: { readonly form: Form; readonly search: string },
  part: ExportPart,
  sleep: ExportAround['sleep'],
  onProgress: () => void,
): Promise<Buffer> {
  for (let idle = 0; ; idle += 1) {
    const before = part.rows;
    let why = 'it was cut off';
    let pauseMs: number | undefined;
    try {
      const end = await takeAnswer(api, of, part, onProgress);
      if (end !== undefined) return end;
    } catch (error) {
      if (!isFailure(error) || error.retry === 'no') throw error;
      why = messageOf(error);
      pauseMs = error instanceof ApiRefusal ? error.retryAfterMs : undefined;
    }
    if (part.rows > before) idle = 0;
    const pause = PAUSES_MS[idle];
    if (pause === undefined) throw incomplete(of.form, why);
    await sleep(Math.min(PAUSE_MS_MAX, pauseMs ?? pause));
  }
}

/** @returns what stands behind the last row when the export is whole with it. @throws Failure `export.differs`; as `askApi`; what the disk throws. */
async function takeAnswer(
  api: ApiAccess,
  { form, search }: { readonly form: Form; readonly search: string },
  part: ExportPart,
  onProgress: () => void,
): Promise<Buffer | undefined> {
  const { after } = part;
  // Before the first row it begins at the beginning, as Parquet always does, and so it does without a cursor.
  if (part.rows === 0 || after === undefined) await part.empty();
  const asked = new URLSearchParams({ search, format: form, ...(after === undefined ? {} : { after }) });
  const answer = await askApi(api, `/v1/exports/events?${asked}`);
  const [start, announced] = [answer.headers.get('cairn-start'), answer.headers.get('cairn-count')];
  if (start !== null) await part.startAt(start);
  const reader = answerReader(form, part.rows);
  const body = answer.body!.getReader();
  let isBroken = false;
  try {
    for (;;) {
      const came = await body.read().catch(() => undefined);
      isBroken = came === undefined;
      if (came?.value === undefined) break;
      const { buffer, byteOffset, byteLength } = came.value;
      const taken = reader.take(Buffer.from(buffer, byteOffset, byteLength));
      if (taken === undefined) continue;
      await part.append(taken.bytes, taken.rows, taken.last);
      onProgress();
    }
  } finally {
    await body.cancel().catch(() => {});
  }
  const ended = reader.end({ isBroken, announced: announced === null ? undefined : Number(announced) });
  if (ended.is === 'differs') throw differs();
  return ended.is === 'whole' ? ended.bytes : undefined;
}

const differs = (): Failure =>
  new Failure({
    code: 'export.differs',
    retry: 'no',
    message: 'what came is not what was sent',
    mend: 'Something between here and the service changes answers. Ask it directly.',
  });

const incomplete = (form: Form, why: string): Failure =>
  new Failure({
    code: 'export.incomplete',
    retry: 'later',
    message: `the export is not whole: ${why}, ${PAUSES_MS.length + 1} times after each other without getting further`,
    mend:
      form === 'parquet'
        ? 'Nothing can be put behind a part of a Parquet file, so each time all of it was asked for: export a shorter time, or NDJSON.'
        : 'Run it again.',
  });

/** The same, where another run can go on. */
const leftOf = (file: string, rows: number, error: unknown): Failure =>
  new Failure({
    code: isFailure(error) ? error.code : 'export.incomplete',
    retry: isFailure(error) ? error.retry : 'later',
    message: `${messageOf(error)} (${rows} events are in ${file}.part)`,
    mend: 'Run it again with --resume: it goes on behind them.',
    cause: error,
  });
