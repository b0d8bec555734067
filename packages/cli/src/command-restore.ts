import { randomUUIDv7 } from 'node:crypto';
import {
  deploymentOf,
  openEvidence,
  readArchive,
  readKeys,
  SEGMENT_BYTES_MAX,
  tombstonesOf,
} from '@cairn/archive';
import { parseUuid } from '@cairn/event';
import { Failure, isFailure } from '@cairn/failure';
import { DAY_MS, readHotDays } from '@cairn/query';
import type { RecordDraft } from '@cairn/recorder';
import { visible } from '@cairn/session';
import type { Run } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { restoreDays } from './restore-days.ts';
import { restoredTableIn } from './restored-table.ts';
import { readTrusted } from './trusted.ts';

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

/**
 * `cairn restore`: loads days that ClickHouse has dropped back from the archive, proven, each event once. That it is begun is in the
 * trail before anything is loaded, and how it ended before it is said; in the trail of the organisation, or of the deployment.
 */
export async function restore(
  { open, output, config, openActs }: Run,
  options: RestoreCommandOptions,
  nowMs: number,
): Promise<number> {
  const { from, to, org = '', days, archive } = options;
  if (from >= to) throw emptyRange(from, to);
  const { rootKey } = await readTrusted(options, config.rootKey);
  const deployment = deploymentOf(rootKey);
  await using acts = await openActs(deployment, org === '' ? deployment : org);
  await using evidence = await openEvidence(archive, config.s3);
  await using trail = open();
  const { history } = await readKeys(evidence, rootKey);
  const until = new Date(nowMs + days * DAY_MS);
  const segments = await readArchive(evidence, history, undefined);
  const call: RecordDraft = {
    org_id: org === '' ? deployment : org,
    kind: 'audit_access',
    phase: 'decision',
    call_id: parseUuid(randomUUIDv7()),
    service: 'cli',
    method: 'days/restore',
    action: 'read',
    result_status: 'pending',
    detail: JSON.stringify({ from, org, to, until: until.toISOString() }),
  };
  await acts.record(call);
  const ended = (end: Partial<RecordDraft>): Promise<unknown> =>
    acts.record({ ...call, phase: 'outcome', ...end });
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
  }).catch(async (error: unknown) => {
    await ended({ result_status: 'failure', error_code: isFailure(error) ? error.code : 'restore.failed' });
    throw error;
  });
  const events = reports.reduce((sum, report) => sum + report.events, 0);
  await ended({
    result_status: 'success',
    detail: JSON.stringify({ days: reports.length, events, from, org, to, until: until.toISOString() }),
  });
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
