import type { RuleSet, WindowView } from '@cairn/rules';
import type { AssignedPartition, Chunk } from '@cairn/runtime';
import { firingOf, matchFiring } from './alert-event.ts';
import { endAlerts } from './end-alerts.ts';
import type { FoldedRecords } from './fold-records.ts';
import { judgeAdditions } from './judge-additions.ts';
import { commitMetadata, type OpenPartition } from './open-partition.ts';
import { type TellOptions, tellOpened } from './tell-episodes.ts';
import type { EpisodeFirings } from './windows.ts';

export interface WatchOptions extends TellOptions {
  /** How long an alert of single events lasts after its last one, microseconds. */
  readonly quiet: number;
  /** How long after its end a window is judged, microseconds: what is under way then still counts. */
  readonly closeGrace: number;
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
 * What every record of a chunk means to every rule into the windows, and what comes of it to whoever is to know. The next chunk is
 * folded meanwhile; nothing of it is counted before this one is done.
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
  partition: AssignedPartition,
  open: OpenPartition,
  chunk: Chunk<FoldedRecords>,
): Promise<Watched> {
  const { windows } = open;
  const { rules, appendedAtMs } = chunk.gathered;
  const watched = { events: 0, duplicates: 0, others: 0, skewed: 0, firings: 0, ended: 0 };
  for (const { last, isCounted, isTold, read, batch } of chunk.gathered.parts(chunk.first, chunk.last)) {
    const { matches, additions } = batch;
    // Before anything that is news is in the windows: a firing that such events bring about is not taken for one that was told,
    // should the windows be made again.
    if (!isTold) {
      await endTold(options, rules, open);
      await markWhole(open);
    }
    open.oldest = Math.min(open.oldest, read.oldest);
    let views: readonly WindowView[];
    if (isCounted) views = await windows.look(additions);
    else {
      const marks = open.streams.textsOf(read.streams, last, open.committed);
      const { counted: expected, oldest } = open;
      views = await windows.add({ expected, last, oldest, streams: marks, additions });
      open.counted = last;
      open.streams.counted(read.streams, last, open.committed);
    }
    const judged = await judgeAdditions(windows, rules, additions, views);
    const firings: EpisodeFirings[] = [
      ...matches.map((match) => matchFiring(match, options.quiet, isTold)),
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
  if (appendedAtMs === undefined) return watched;
  // What is looked at again is committed as a whole, as it was counted: beside the windows it is known where streams stood before all
  // of it, and not where they stood in its midst.
  if (chunk.last >= open.told && chunk.last < (open.counted ?? -1)) return watched;
  const passedTo = appendedAtMs * 1_000 - options.closeGrace;
  const ended = await endAlerts(options, rules, windows, passedTo, chunk.last < open.told);
  if (chunk.last >= open.told) {
    await partition.commit(chunk.last + 1, commitMetadata(appendedAtMs));
    open.committed = chunk.last + 1;
    open.oldest = Number.MAX_SAFE_INTEGER;
  }
  if (chunk.last >= open.told - 1) await markWhole(open);
  // A firing that is found again must find its alert, so that it does not begin another one: not before the commit.
  await windows.close(ended);
  watched.ended = ended.length;
  return watched;
}

/**
 * What had ended when an offset was committed was told by then, and is not told again by windows that were lost since: it ends
 * before the first record behind that offset is counted.
 */
async function endTold(options: WatchOptions, rules: RuleSet, open: OpenPartition): Promise<void> {
  if (open.toldToMs === undefined) return;
  const toldTo = open.toldToMs * 1_000 - options.closeGrace;
  await open.windows.close(await endAlerts(options, rules, open.windows, toldTo, true));
  open.toldToMs = undefined;
}

/** Episodes are known of everything that is committed. */
async function markWhole(open: OpenPartition): Promise<void> {
  if (open.isWhole) return;
  await open.windows.markWhole();
  open.isWhole = true;
}
