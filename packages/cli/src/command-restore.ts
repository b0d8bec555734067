import { Failure } from '@cairn/failure';
import { DAY_MS, readHotDays } from '@cairn/query';
import { visible } from '@cairn/session';
import { readArchive, tombstonesOf } from './archive-segments.ts';
import type { CliConfig } from './config.ts';
import { openEvidence } from './evidence.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import { restoreDays } from './restore-days.ts';
import { restoredTableIn } from './restored-table.ts';
import type { OpenTrail } from './trail.ts';
import { readTrusted } from './trusted.ts';
import { readKeys, SEGMENT_BYTES_MAX } from './verify-archive.ts';

export interface RestoreCommandOptions {
  /** UTC days; `to` is exclusive. */
  readonly from: string;
  readonly to: string;
  readonly org?: string;
  /** How many days the rows stay. */
  readonly days: number;
  readonly archive: string;
  readonly root?: string;
}

/** `cairn restore`: loads days that ClickHouse has dropped back from the archive, proven, each event once. */
export async function restore(
  open: OpenTrail,
  output: Output,
  config: CliConfig,
  options: RestoreCommandOptions,
  nowMs: number,
): Promise<number> {
  const { from, to, org = '', days, archive } = options;
  if (from >= to) throw emptyRange(from, to);
  const { rootKey } = await readTrusted(options, config.rootKey);
  await using evidence = await openEvidence(archive, config.s3);
  await using trail = open();
  const { history } = await readKeys(evidence, rootKey);
  const until = new Date(nowMs + days * DAY_MS);
  const segments = await readArchive(evidence, history, undefined);
  const reports = await restoreDays({
    table: restoredTableIn(trail),
    segments,
    async read({ manifest }) {
      return Promise.all(
        manifest.objects.map(async ({ key, schema }) => {
          const bytes = await evidence.read(key, SEGMENT_BYTES_MAX);
          if (bytes === undefined) throw missing(key);
          return { schemaId: schema, bytes };
        }),
      );
    },
    deletedNow: (origin) => tombstonesOf(evidence, origin.slice(origin.indexOf('/') + 1)),
    hot: await readHotDays(trail),
    from,
    to,
    org,
    until,
    nowMs,
    onDay({ day, outcome, events, segments: proven, deleted }) {
      const gone = deleted === 0 ? '' : `; ${deleted} segments were deleted under policy`;
      output.value({ day, outcome, events, segments: proven, deleted, until: until.toISOString() });
      if (outcome === 'hot') output.line(`${day}  is hot already`);
      else if (outcome === 'empty') output.line(`${day}  is not in the archive`);
      else output.line(visible(`${day}  ${events} events from ${proven} proven segments${gone}`));
    },
  });
  const events = reports.reduce((sum, report) => sum + report.events, 0);
  output.note(
    `${events} events restored; they stay until ${until.toISOString()}, or until their retention ends.`,
  );
  return reports.some(({ outcome }) => outcome !== 'empty') ? EXIT.ok : EXIT.failed;
}

const emptyRange = (from: string, to: string): Failure =>
  new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: `from ${from} to before ${to} there is no day`,
  });

const missing = (key: string): Failure =>
  new Failure({
    code: 'archive.deleted',
    retry: 'no',
    message: `${key} is not there any more, and no deletion was decided when this began`,
    mend: 'Run it again: when its retention has ended meanwhile, the rest is restored. Else `cairn verify` says what is missing.',
  });
