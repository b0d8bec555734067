import { hexOf, KIND_SYMBOLS, leafHash, walkDatum } from '@cairn/event';
import { verifyDatum } from './signature.ts';

export interface StreamDatum {
  readonly schemaId: number;
  readonly datum: Uint8Array;
}

export type FindingKind =
  | 'datum-invalid'
  | 'other-stream'
  | 'duplicate'
  | 'gap'
  | 'broken-link'
  | 'unknown-key'
  | 'bad-signature'
  | 'not-opened'
  | 'unsealed-tail';

export interface Finding {
  readonly kind: FindingKind;
  /** Place among the given events, from 0. */
  readonly index: number;
  /** Number of the event it is about, or the first of those missing. */
  readonly seq: number;
  readonly detail: string;
}

export interface StreamVerdict {
  /** Empty means intact. */
  readonly findings: readonly Finding[];
  readonly events: number;
  /** Number of the last event that a valid signature covers; -1 when none does. */
  readonly authenticatedUpTo: number;
  readonly closed: boolean;
}

/**
 * Verifies one stream (organisation, gateway, epoch) from its events in order: each is one canonical datum, numbers have no
 * hole, each links to the one before, and signatures are those of the stream's keys. An event is authenticated when a later
 * signed event is reached from it by unbroken links.
 *
 * @param keys raw Ed25519 keys (32 bytes) by key id.
 * @param genesis what the first event must link to, hex; without it the first link is not judged.
 */
export function verifyStream(
  events: Iterable<StreamDatum>,
  keys: ReadonlyMap<string, Uint8Array>,
  genesis?: string,
): StreamVerdict {
  const findings: Finding[] = [];
  let stream: string | undefined;
  let expected = 0;
  let link = genesis;
  let last = -1;
  let authenticatedUpTo = -1;
  let whole = true;
  let closed = false;
  let index = -1;
  for (const { schemaId, datum } of events) {
    index += 1;
    const note = (kind: FindingKind, seq: number, detail: string): void => {
      findings.push({ kind, index, seq, detail });
      if (kind !== 'duplicate') whole = false;
    };
    const walked = walkDatum(datum, schemaId);
    if (!walked.ok) {
      note('datum-invalid', expected, `${walked.reason} at byte ${walked.at} in ${walked.field}`);
      continue;
    }
    const of = `${walked.orgId}/${walked.gatewayId}/${walked.epoch}`;
    stream ??= of;
    if (of !== stream) {
      note('other-stream', walked.seq, `${of} among the events of ${stream}`);
      continue;
    }
    if (index === 0 && KIND_SYMBOLS[walked.kind] !== 'stream_open') {
      note('not-opened', walked.seq, 'the first event is not stream_open');
      expected = walked.seq;
    }
    if (walked.seq < expected) {
      note('duplicate', walked.seq, `number ${walked.seq} came again`);
      continue;
    }
    if (walked.seq > expected) {
      note('gap', expected, `numbers ${expected} to ${walked.seq - 1} are missing`);
      link = undefined;
    }
    const prevHash = hexOf(datum.subarray(walked.prevHashAt, walked.prevHashAt + 32));
    if (link !== undefined && prevHash !== link)
      note('broken-link', walked.seq, 'the link leads to another event');
    if (walked.signed) {
      const key = keys.get(walked.keyId);
      if (key === undefined) note('unknown-key', walked.seq, `no key ${walked.keyId} was given`);
      else if (!verifyDatum(key, schemaId, datum))
        note('bad-signature', walked.seq, `not by key ${walked.keyId}`);
      else if (whole) authenticatedUpTo = walked.seq;
    }
    closed = KIND_SYMBOLS[walked.kind] === 'stream_close';
    link = hexOf(leafHash(schemaId, datum));
    last = walked.seq;
    expected = walked.seq + 1;
  }
  if (whole && last > authenticatedUpTo) {
    const detail = `events from ${authenticatedUpTo + 1} on are chained and not yet covered by a signature`;
    findings.push({ kind: 'unsealed-tail', index, seq: authenticatedUpTo + 1, detail });
  }
  return { findings, events: index + 1, authenticatedUpTo, closed };
}
