import {
  type BatchFolder,
  type BelievedTimes,
  createFolder,
  type RuleSet,
  type WindowView,
} from '@cairn/rules';
import type { AssignedPartition, Chunk, KeptRecords, LogRecord } from '@cairn/runtime';
import { firingOf, matchFiring } from './alert-event.ts';
import { endAlerts } from './end-alerts.ts';
import { judgeAdditions } from './judge-additions.ts';
import { commitMetadata, type OpenPartition } from './open-partition.ts';
import type { RecordReader } from './read-records.ts';
import type { Position } from './stream-marks.ts';
import { type TellOptions, tellOpened } from './tell-episodes.ts';
import type { EpisodeFirings } from './windows.ts';

export interface WatchOptions extends TellOptions {
  readonly bounds: BelievedTimes;
  /** How long an alert of single events lasts after its last one, microseconds. */
  readonly quiet: number;
  /** How long after its end a window is judged, microseconds: what is under way then still counts. */
  readonly closeGrace: number;
  readonly releasedIdOf: (framedId: number) => number | undefined;
}

/** The rules in force, and what reads records for them. */
export interface RulesInForce {
  readonly rules: RuleSet;
  readonly reader: RecordReader;
}

/** What a chunk came to. */
export interface Watched {
  readonly events: number;
  readonly duplicates: number;
  readonly others: number;
  readonly skewed: number;
  readonly firings: number;
  /** Alerts that ended. */
  readonly ended: number;
}

/**
 * Every record of a chunk against every rule.
 *
 * 1. The counts and the partition's offset, in one step. COMMIT POINT of the counts: a crash from here on leads to the same
 *    records being looked at again, and not counted again.
 * 2. The episodes, the alert events and the promises to endpoints: see tell-episodes.ts.
 * 3. The ends of what the partition's time has passed. Were they told later, nobody would know of them should the windows be
 *    lost: what had not ended when an offset was committed is found again from shortly before it.
 * 4. Kafka's offset: from here on nobody looks at these records again, and what ended is forgotten.
 */
export async function watchChunk(
  options: WatchOptions,
  { rules, reader }: RulesInForce,
  partition: AssignedPartition,
  open: OpenPartition,
  chunk: Chunk<KeptRecords>,
): Promise<Watched> {
  const { bounds, quiet, releasedIdOf } = options;
  const { windows } = open;
  const watched = { events: 0, duplicates: 0, others: 0, skewed: 0, firings: 0, ended: 0 };
  for (const { records, last, isCounted, isTold } of partsOf(chunk, open)) {
    const known = (stream: string): Position | undefined => open.streams.known(stream, isCounted);
    // What is looked at again was counted by whoever came before, so nothing of it is left out.
    const folder = isCounted ? createFolder(rules) : folderOf(open, rules);
    const folding = folder.begin();
    const read = reader.read(records, known, releasedIdOf, bounds, folding.take);
    const { matches, additions } = folding.folded();
    const { streams } = read;
    open.oldest = Math.min(open.oldest, read.oldest);
    let views: readonly WindowView[];
    if (isCounted) {
      views = await windows.look(additions);
      open.streams.lookedAt(streams);
    } else {
      const marks = open.streams.textsOf(streams, last, open.committed);
      const { counted: expected, oldest } = open;
      views = await windows.add({ expected, last, oldest, streams: marks, additions });
      open.counted = last;
      folder.counted();
      open.streams.counted(streams, last, open.committed);
    }
    const judged = await judgeAdditions(windows, rules, additions, views);
    const firings: EpisodeFirings[] = [
      ...matches.map((match) => matchFiring(match, quiet, isTold)),
      ...judged
        .filter(({ firing }) => firing.correlation.alerts)
        .map(({ firing, reason }) => firingOf(firing, isTold, reason)),
    ];
    await tellOpened(options, windows, firings);
    watched.events += read.events;
    watched.duplicates += read.duplicates;
    watched.others += read.others;
    watched.skewed += read.skewed;
    watched.firings += firings.length;
  }
  const appendedAtMs = chunk.gathered.records.at(-1)?.appendedAtMs;
  if (appendedAtMs === undefined) return watched;
  const passedTo = appendedAtMs * 1_000 - options.closeGrace;
  const ended = await endAlerts(options, rules, windows, passedTo, chunk.last < open.told);
  if (chunk.last >= open.told) {
    await partition.commit(chunk.last + 1, commitMetadata(appendedAtMs));
    open.committed = chunk.last + 1;
    open.oldest = Number.MAX_SAFE_INTEGER;
  }
  if (!open.isWhole && chunk.last >= open.told - 1) {
    await windows.markWhole();
    open.isWhole = true;
  }
  // A firing that is found again must find its alert, so that it does not begin another one: not before the commit.
  await windows.close(ended);
  watched.ended = ended.length;
  return watched;
}

/** What folds the records of a partition; made anew for other rules. */
function folderOf(open: OpenPartition, rules: RuleSet): BatchFolder {
  if (open.folding?.rules !== rules) open.folding = { rules, folder: createFolder(rules) };
  return open.folding.folder;
}

interface Part {
  readonly records: readonly LogRecord[];
  /** Inclusive. */
  readonly last: number;
  /** Is in the windows already. */
  readonly isCounted: boolean;
  /** Its alerts are on disk. */
  readonly isTold: boolean;
}

/** The chunk, cut where what was counted ends and where what was told ends. */
function partsOf(
  { gathered: { records }, first, last }: Chunk<KeptRecords>,
  { counted, told }: OpenPartition,
): Part[] {
  const cuts = [(counted ?? -1) + 1, told, last + 1].filter((cut) => cut > first && cut <= last + 1);
  const parts: Part[] = [];
  let from = first;
  for (const cut of [...new Set(cuts)].sort((a, b) => a - b)) {
    const inside = records.filter(({ offset }) => offset >= from && offset < cut);
    parts.push({
      records: inside,
      last: cut - 1,
      isCounted: cut - 1 <= (counted ?? -1),
      isTold: cut <= told,
    });
    from = cut;
  }
  return parts;
}
