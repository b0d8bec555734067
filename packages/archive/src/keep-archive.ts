import { type KeyHistory, type NoteKey, parseObjectName } from '@cairn/ledger';
import { copiedFirst } from '@cairn/query';
import { type ArchivedSegment, tombstonesOf } from './archive-segments.ts';
import type { Evidence } from './evidence.ts';
import { type AnchorLog, originsOf, readAnchors } from './prove.ts';
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
  /** The anchor log, read anew when something was added to it. @throws Failure as `state`. */
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

/**
 * Keeps the manifests that were read, the nodes before each and its checkpoint: some 2 KB of memory for a segment. Names are
 * listed at each renewal, objects are read once; the key history is read again when it grew.
 */
export function keepArchive({ evidence, rootKey, copies, nowMs, ageMsMax }: KeepArchiveOptions): KeptArchive {
  const logs = new Map<string, PlacedSegment[]>();
  let keys: { readonly names: string; readonly history: KeyHistory } | undefined;
  let anchors: { readonly names: string; readonly log: AnchorLog } | undefined;
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
    state() {
      if (last !== undefined && nowMs() - last.readAtMs < ageMsMax) return Promise.resolve(last);
      // All who ask meanwhile wait for one reading.
      renewing ??= renew().finally(() => {
        renewing = undefined;
      });
      return renewing;
    },
    async anchors() {
      const { history } = await this.state();
      const names = await namesUnder('anchor/');
      if (anchors?.names !== names) anchors = { names, log: await readAnchors(evidence, history) };
      return anchors.log;
    },
  };
}
