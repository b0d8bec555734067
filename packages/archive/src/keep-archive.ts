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

interface KeptAnchors {
  /** By whose keys it was judged: when it grows, all is judged anew. */
  readonly history: KeyHistory;
  readonly reader: AnchorLogReader;
  last: { readonly readAtMs: number; readonly log: AnchorLog } | undefined;
}

/**
 * Keeps the manifests that were read, the nodes before each and its checkpoint: some 2 KB of memory for a segment. Names are
 * listed at each renewal, objects are read once; the key history is read again when it grew.
 */
export function keepArchive({ evidence, rootKey, copies, nowMs, ageMsMax }: KeepArchiveOptions): KeptArchive {
  const logs = new Map<string, PlacedSegment[]>();
  let keys: { readonly names: string; readonly history: KeyHistory } | undefined;
  let anchors: KeptAnchors | undefined;
  let readingAnchors: Promise<AnchorLog> | undefined;
  let last: ArchiveState | undefined;
  let renewing: Promise<ArchiveState> | undefined;

  async function historyNow(): Promise<KeyHistory> {
    const names = await namesUnder('key/');
    if (keys?.names !== names) keys = { names, history: await readWholeKeys(evidence, rootKey) };
    return keys.history;
  }

  async function renew(): Promise<ArchiveState> {
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
    last = { history, segments, readAtMs };
    return last;
  }

  async function renewAnchors(): Promise<AnchorLog> {
    const { history } = await renewed();
    const readAtMs = nowMs();
    if (anchors?.history !== history)
      anchors = { history, reader: new AnchorLogReader(evidence, history), last: undefined };
    if (anchors.last === undefined || readAtMs - anchors.last.readAtMs >= ageMsMax)
      anchors.last = { readAtMs, log: await anchors.reader.read() };
    return anchors.last.log;
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

  function renewed(): Promise<ArchiveState> {
    if (last !== undefined && nowMs() - last.readAtMs < ageMsMax) return Promise.resolve(last);
    // All who ask meanwhile wait for one reading.
    renewing ??= renew().finally(() => {
      renewing = undefined;
    });
    return renewing;
  }

  return {
    state: renewed,
    anchors() {
      readingAnchors ??= renewAnchors().finally(() => {
        readingAnchors = undefined;
      });
      return readingAnchors;
    },
  };
}
