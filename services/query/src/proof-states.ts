import type { SessionEvent } from '@cairn/session';
import type { ApiArchive } from './open-archive.ts';

/** How far an event is proven, from least to most. */
export const PROOF_STATES = ['recorded', 'signed', 'archived', 'anchored'] as const;
export type ProofState = (typeof PROOF_STATES)[number];

export const leastOf = (states: readonly ProofState[]): ProofState =>
  PROOF_STATES[Math.min(...states.map((state) => PROOF_STATES.indexOf(state)))] ?? 'recorded';

export interface ArchivedStates {
  /** When the archive was read, milliseconds since 1970; null while it was not. */
  readonly asOf: number | null;
  /** Undefined for an event whose number no segment is known to hold. */
  stateOf(
    event: Pick<SessionEvent, 'org_id' | 'gateway_id' | 'epoch' | 'seq'>,
  ): 'archived' | 'anchored' | undefined;
}

/**
 * Which numbers of the events' streams the archive holds, by its manifests: no segment is read, so that the archive has the same
 * bytes is what a proof shows; nor is the archive waited for. A range of numbers in which some may be missing counts for none of them.
 */
export function archivedStates(
  archive: Pick<ApiArchive, 'lately'> | undefined,
  events: readonly Pick<SessionEvent, 'org_id' | 'gateway_id' | 'epoch' | 'timestamp'>[],
): ArchivedStates {
  const seen = archive?.lately();
  if (seen === undefined) return { asOf: null, stateOf: () => undefined };
  const ranges = new Map<string, { from: number; to: number; isAnchored: boolean }[]>(
    events.map((event) => [keyOf(event.org_id, event.gateway_id, event.epoch), []]),
  );
  const times = events.map(({ timestamp }) => timestamp);
  const [first, last] = [
    times.reduce((one, two) => Math.min(one, two), Infinity),
    times.reduce((one, two) => Math.max(one, two), 0),
  ];
  for (const { manifest, isDeleted } of seen.segments) {
    if (isDeleted || manifest.timestamps.max < first || manifest.timestamps.min > last) continue;
    const isAnchored = (seen.anchoredTo.get(manifest.origin) ?? 0) >= manifest.end;
    for (const { org, gateway, epoch, first_seq: from, last_seq: to, events: count } of manifest.streams) {
      if (count === to - from + 1) ranges.get(keyOf(org, gateway, epoch))?.push({ from, to, isAnchored });
    }
  }
  return {
    asOf: seen.readAtMs,
    stateOf({ org_id: org, gateway_id: gateway, epoch, seq }) {
      const range = ranges.get(keyOf(org, gateway, epoch))?.find(({ from, to }) => from <= seq && seq <= to);
      return range && (range.isAnchored ? 'anchored' : 'archived');
    },
  };
}

const keyOf = (org: string, gateway: string, epoch: number): string => JSON.stringify([org, gateway, epoch]);
