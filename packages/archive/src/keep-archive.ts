import { type KeyHistory, type NoteKey, parseObjectName } from '@cairn/ledger';
import { copiedFirst } from '@cairn/query';
import { type ArchivedSegment, tombstonesOf } from './archive-segments.ts';
import type { Evidence } from './evidence.ts';
import { originsOf } from './prove.ts';
import { type AnchorLog, AnchorLogReader } from './read-anchors.ts';
import { readWholeKeys } from './verify-archive.ts';
import { type PlacedSegment, walkLog } from './walk-log.ts';

/** An archive at one time, as far as it holds. */
export interface ArchiveState {
  readonly history: KeyHistory;
  /** All segments, log after log, in the order of each; their manifests lead to signed roots. */
  readonly segments: readonly ArchivedSegment[];
  /** When it was read; milliseconds. */
  readonly readAtMs: number;
}

/** An archive that is asked again and again: what was seen to hold is kept, and only what came since is read. */
export interface KeptArchive {
  /** As it is, or was `ageMsMax` ago. @throws Failure `archive.broken`, `key-history.broken` (no); of the store. */
  state(): Promise<ArchiveState>;
  /** The anchor log, likewise. @throws Failure as `state`. */
  anchors(): Promise<AnchorLog>;
}

export interface KeepArchiveOptions {
  readonly evidence: Evidence;
  readonly rootKey: NoteKey;
  /** Bucket of the query copies; undefined when there is none. */
  readonly copies: Evidence | undefined;
  readonly nowMs: () => number;
  /** How old an answer may be. */
  readonly ageMsMax: number;
}

interface ReadAnchors {
  /** By whose keys it was judged: when it grows, all is judged anew. */
  readonly history: KeyHistory;
  readonly reader: AnchorLogReader;
  readonly log: AnchorLog;
  readonly readAtMs: number;
}

/**
 * Keeps the manifests that were read, the nodes before each and its checkpoint: some 2 KB of memory for a segment. Names are
 * listed at each renewal, objects are read once; the key history is read again when it grew.
 */
export function keepArchive({ evidence, rootKey, copies, nowMs, ageMsMax }: KeepArchiveOptions): KeptArchive {
  const logs = new Map<string, PlacedSegment[]>();
  let keys: { readonly names: string; readonly history: KeyHistory } | undefined;
  const isFresh = ({ readAtMs }: { readonly readAtMs: number }): boolean => nowMs() - readAtMs < ageMsMax;
  const state = remembered(readState, isFresh);
  const anchors = remembered(readAnchors, (read) => isFresh(read) && read.history === keys?.history);

  async function historyNow(): Promise<KeyHistory> {
    const names = await namesUnder('key/');
    if (keys?.names !== names) keys = { names, history: await readWholeKeys(evidence, rootKey) };
    return keys.history;
  }

  async function readState(): Promise<ArchiveState> {
    const readAtMs = nowMs();
    const history = await historyNow();
    const segments: ArchivedSegment[] = [];
    for (const origin of await originsOf(evidence, history.deployment)) {
      const known = logs.get(origin) ?? [];
      logs.set(origin, known);
      for await (const placed of walkLog(evidence, history, origin, known.at(-1))) known.push(placed);
      const folder = origin.slice(origin.indexOf('/') + 1);
      const deleted = await tombstonesOf(evidence, folder);
      const copied = await copiesOf(origin, folder);
      for (const placed of known) {
        const { manifest } = placed;
        const { first } = manifest;
        segments.push({ manifest, placed, isDeleted: deleted.has(first), copy: copied.get(first) });
      }
    }
    return { history, segments, readAtMs };
  }

  async function readAnchors(before: ReadAnchors | undefined): Promise<ReadAnchors> {
    const { history } = await state();
    const readAtMs = nowMs();
    const reader = before?.history === history ? before.reader : new AnchorLogReader(evidence, history);
    return { history, reader, log: await reader.read(), readAtMs };
  }

  async function copiesOf(origin: string, folder: string): Promise<ReadonlyMap<number, string>> {
    const copied = new Map<number, string>();
    for await (const { name } of copies?.list(`copy/${folder}/`) ?? []) {
      const first = copiedFirst(origin, name);
      if (first !== undefined) copied.set(first, name);
    }
    return copied;
  }

  /** Names are given once and never again, so these change when something was added. */
  async function namesUnder(prefix: string): Promise<string> {
    let [count, latest] = [0, ''];
    for await (const { name } of evidence.list(prefix)) {
      if (parseObjectName(name) === undefined) continue;
      count += 1;
      latest = name;
    }
    return `${count} ${latest}`;
  }

  return {
    state,
    async anchors() {
      // Whether its keys are still the same is known once the state is fresh.
      await state();
      return (await anchors()).log;
    },
  };
}

/** What was read last, as long as it is good; then it is read anew, once for all who ask meanwhile. */
function remembered<Read>(
  read: (before: Read | undefined) => Promise<Read>,
  isGood: (last: Read) => boolean,
): () => Promise<Read> {
  let last: Read | undefined;
  let reading: Promise<Read> | undefined;
  return async () => {
    if (last !== undefined && isGood(last)) return last;
    reading ??= read(last).finally(() => {
      reading = undefined;
    });
    last = await reading;
    return last;
  };
}
