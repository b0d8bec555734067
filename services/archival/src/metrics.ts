import type { LockReport } from '@cairn/adapters';
import type { AssignedPartition, Chunk, Metrics } from '@cairn/runtime';
import type { AnchorRound } from './anchor-checkpoints.ts';
import type { Finding } from './finding.ts';
import type { JobRun } from './schedule-jobs.ts';
import type { Taken } from './take-records.ts';
import type { StoredSegment } from './write-segment.ts';

/** What archival counts. */
export interface ArchivalMetrics {
  probed(report: LockReport): void;
  taken(partition: AssignedPartition, chunk: Chunk, taken: Taken): void;
  stored(partition: AssignedPartition, stored: StoredSegment, tookMs: number): void;
  found(finding: Finding): void;
  unrecorded(): void;
  troubled(): void;
  anchored(round: AnchorRound, nowMs: number): void;
  ran(run: JobRun, nowMs: number): void;
  compared(rows: number, differing: number): void;
  unarchived(sinceMs: () => number | undefined): void;
}

/** @param nowMs milliseconds since 1970. */
export function createArchivalMetrics(metrics: Metrics, nowMs: () => number): ArchivalMetrics {
  const byPartition = ['topic', 'partition'];
  const labelsOf = ({ topic, partition }: AssignedPartition) => ({ topic, partition: String(partition) });
  const lock = metrics.gauge(
    'store_lock_holds',
    'Whether the store behaves so: 1 or 0, as probed at the start',
    ['behaviour'],
  );
  const taken = metrics.counter('events_taken_total', 'Events taken into a segment that was not written yet');
  const duplicates = metrics.counter('events_duplicate_total', 'Events that a gateway sent twice, no leaves');
  const archived = metrics.counter('events_archived_total', 'Events in segments whose checkpoint is signed');
  const segments = metrics.counter('segments_stored_total', 'Segments written');
  const repeats = metrics.counter('segments_repeated_total', 'Segments whose checkpoint was there already');
  const bytes = metrics.counter('segment_bytes_total', 'Bytes of the objects of segments');
  const seconds = metrics.histogram('segment_store_seconds', 'Time to write a segment, to its checkpoint');
  const lag = metrics.gauge('lag_records', 'Records appended and not yet taken', byPartition);
  const age = metrics.gauge(
    'segment_age_seconds',
    'Age of the oldest event of the last segment when it was signed for; bounded by CAIRN_ARCHIVAL_SEGMENT_AGE_MS_MAX',
    byPartition,
  );
  const findings = metrics.counter('findings_total', 'What was noticed to be wrong', ['reason']);
  const unrecorded = metrics.counter(
    'findings_unrecorded_total',
    'Findings that could not be recorded as events, or were too many; the log has them',
  );
  const reopened = metrics.counter('partitions_reopened_total', 'Times that a log had to be taken up again');
  const runs = metrics.counter('job_runs_total', 'Runs of jobs', ['job', 'outcome']);
  const differing = metrics.gauge(
    'reconcile_differing_rows',
    'Rows that are not the archive’s, in the last run',
  );
  const compared = metrics.counter('reconcile_rows_total', 'Rows that were compared with the archive');

  const began = nowMs();
  const last = new Map<string, number>();
  const ages = (name: string, help: string, labels: readonly string[], prefix: string) =>
    metrics.gauge(name, help, labels, (gauge) => {
      for (const [key, at] of last) {
        if (!key.startsWith(prefix)) continue;
        const label = labels[0];
        gauge.set((nowMs() - at) / 1_000, label === undefined ? {} : { [label]: key.slice(prefix.length) });
      }
    });
  ages('job_success_age_seconds', 'Time since the last run of a job that succeeded', ['job'], 'job:');
  ages('anchor_age_seconds', 'Time since every checkpoint was in the anchor log', [], 'anchor');
  ages('timestamp_age_seconds', 'Time since an authority stamped the anchor log', ['authority'], 'stamp:');
  ages('cosignature_age_seconds', 'Time since a witness cosigned the anchor log', ['witness'], 'witness:');
  last.set('anchor', began);

  return {
    probed({ behaviours }) {
      for (const { name, holds } of behaviours) lock.set(holds ? 1 : 0, { behaviour: name });
    },
    taken(partition, { behind }, { leaves, duplicates: doubled }) {
      taken.add(leaves);
      duplicates.add(doubled);
      lag.set(Math.max(0, behind), labelsOf(partition));
    },
    stored(partition, { manifest, bytes: size, isNew }, tookMs) {
      archived.add(manifest.end - manifest.first);
      (isNew ? segments : repeats).add(1);
      bytes.add(size);
      seconds.observe(tookMs / 1_000);
      age.set((nowMs() - manifest.received.min) / 1_000, labelsOf(partition));
    },
    found: ({ reason }) => findings.add(1, { reason }),
    unrecorded: () => unrecorded.add(1),
    troubled: () => reopened.add(1),
    anchored({ timestamps, cosignatures }, at) {
      last.set('anchor', at);
      for (const { name, atMs } of timestamps) {
        if (atMs !== undefined) last.set(`stamp:${name}`, Math.max(atMs, last.get(`stamp:${name}`) ?? 0));
        else if (!last.has(`stamp:${name}`)) last.set(`stamp:${name}`, began);
      }
      for (const { name, atMs } of cosignatures) {
        if (atMs !== undefined) last.set(`witness:${name}`, Math.max(atMs, last.get(`witness:${name}`) ?? 0));
        else if (!last.has(`witness:${name}`)) last.set(`witness:${name}`, began);
      }
    },
    ran({ job, outcome }, at) {
      runs.add(1, { job, outcome });
      if (outcome === 'success') last.set(`job:${job}`, at);
    },
    unarchived(sinceMs) {
      metrics.gauge(
        'unarchived_age_seconds',
        'Age of the oldest event that is taken and not archived; bounded as segment_age_seconds',
        [],
        (gauge) => gauge.set((nowMs() - (sinceMs() ?? nowMs())) / 1_000),
      );
    },
    compared(rows, differ) {
      compared.add(rows);
      differing.set(differ);
    },
  };
}
