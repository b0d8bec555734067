/** The verdict on evidence as JSON (schemas/ledger.md, "The verdict as JSON"): what every verifier says in the same words. */
import {
  type FindingClass,
  type LedgerFinding,
  type LedgerVerdict,
  REASONS,
  type Reason,
} from './reasons.ts';
import type { LogReport } from './verify-log.ts';

export interface VerdictFinding {
  readonly class: FindingClass;
  readonly detail: string;
  readonly leaf: number;
  /** Name of the object that is not as it must be; empty when it concerns a stream. */
  readonly object: string;
  readonly reason: Reason;
  /** −1 when it concerns no event. */
  readonly seq: number;
  readonly stream: { readonly epoch: number; readonly gateway: string; readonly org: string } | null;
}

/** Of keys, of the anchor log, of a bundle as a file. */
export interface PartVerdict {
  readonly findings: readonly VerdictFinding[];
  readonly verdict: LedgerVerdict;
}

export interface KeysVerdict extends PartVerdict {
  /** Statements that count. */
  readonly statements: number;
}

export interface TimestampVerdict {
  readonly authority: string;
  readonly size: number;
  /** What the authority says, RFC 3339; empty where it was not verified. */
  readonly time: string;
  readonly verdict: LedgerVerdict;
}

export interface CosignatureVerdict {
  readonly size: number;
  /** Seconds since 1970; 0 where it was not verified. */
  readonly time: number;
  readonly verdict: LedgerVerdict;
  readonly witness: string;
}

export interface AnchorsVerdict extends PartVerdict {
  readonly cosignatures: readonly CosignatureVerdict[];
  /** Hex; that of no leaves without an anchor log. */
  readonly root: string;
  readonly size: number;
  readonly timestamps: readonly TimestampVerdict[];
}

export interface StreamVerdictJson {
  readonly authenticated_to: number;
  readonly closed: boolean;
  readonly deleted: number;
  readonly epoch: number;
  readonly events: number;
  readonly first_seq: number;
  readonly gateway: string;
  readonly last_seq: number;
  readonly org: string;
  readonly reasons: readonly Reason[];
  readonly silence_ms: number;
  readonly verdict: LedgerVerdict;
}

export interface FirstBad {
  readonly leaf: number;
  readonly object: string;
  readonly reason: Reason;
}

export interface LogVerdict {
  readonly anchored_to: number;
  readonly deleted: number;
  readonly findings: readonly VerdictFinding[];
  readonly first_bad: FirstBad | null;
  readonly origin: string;
  readonly population: readonly {
    readonly day: string;
    readonly events: number;
    readonly gateway: string;
    readonly org: string;
  }[];
  readonly proven: number;
  readonly reasons: Readonly<Partial<Record<Reason, number>>>;
  readonly root: string;
  readonly size: number;
  readonly streams: readonly StreamVerdictJson[];
  readonly verdict: LedgerVerdict;
}

export interface BundleVerdict extends PartVerdict {
  readonly from: number;
  readonly org: string;
  readonly to: number;
}

export interface EvidenceVerdict {
  readonly anchors: AnchorsVerdict;
  /** Null for a bucket. */
  readonly bundle: BundleVerdict | null;
  readonly deployment: string;
  readonly keys: KeysVerdict;
  readonly kind: 'cairn/verdict';
  readonly logs: readonly LogVerdict[];
  readonly v: 1;
  /** The worst of all. */
  readonly verdict: LedgerVerdict;
}

/** The worst of some verdicts: broken, else not verifiable here, else intact. */
export function worstOf(verdicts: Iterable<LedgerVerdict>): LedgerVerdict {
  let worst: LedgerVerdict = 'intact';
  for (const verdict of verdicts) {
    if (verdict === 'broken') return verdict;
    if (verdict !== 'intact') worst = verdict;
  }
  return worst;
}

export function findingOf({ reason, leaf, detail, object, seq, stream }: LedgerFinding): VerdictFinding {
  return {
    class: REASONS[reason],
    detail,
    leaf,
    object: object ?? '',
    reason,
    seq: seq ?? -1,
    stream:
      stream === undefined ? null : { epoch: stream.epoch, gateway: stream.gatewayId, org: stream.orgId },
  };
}

/** @param anchoredTo the greatest size of the log that an anchor checkpoint covers. */
export function logVerdictOf(report: LogReport, anchoredTo: number): LogVerdict {
  const { firstBad, origin, size, root, proven, deleted, reasons } = report;
  const streams = report.streams
    .map(
      (stream): StreamVerdictJson => ({
        authenticated_to: stream.authenticatedTo,
        closed: stream.closed,
        deleted: stream.deleted,
        epoch: stream.epoch,
        events: stream.events,
        first_seq: stream.firstSeq,
        gateway: stream.gatewayId,
        last_seq: stream.lastSeq,
        org: stream.orgId,
        reasons: stream.reasons,
        silence_ms: stream.silenceMs,
        verdict: stream.verdict,
      }),
    )
    .sort(
      (one, other) =>
        byText(one.org, other.org) || byText(one.gateway, other.gateway) || one.epoch - other.epoch,
    );
  const population = report.population
    .map(({ orgId: org, gatewayId: gateway, day, events }) => ({ day, events, gateway, org }))
    .sort(
      (one, other) =>
        byText(one.org, other.org) || byText(one.gateway, other.gateway) || byText(one.day, other.day),
    );
  return {
    anchored_to: anchoredTo,
    deleted,
    findings: report.findings.map(findingOf),
    first_bad:
      firstBad === undefined
        ? null
        : { leaf: firstBad.leaf, object: firstBad.object ?? '', reason: firstBad.reason },
    origin,
    population,
    proven,
    reasons,
    root,
    size,
    streams,
    verdict: worstOf([report.verdict, ...streams.map(({ verdict }) => verdict)]),
  };
}

/** @param parts all but what they lead to. */
export function evidenceVerdictOf(parts: Omit<EvidenceVerdict, 'kind' | 'v' | 'verdict'>): EvidenceVerdict {
  const { anchors, bundle, keys, logs } = parts;
  const verdicts = [
    keys.verdict,
    anchors.verdict,
    bundle?.verdict ?? 'intact',
    ...logs.map(({ verdict }) => verdict),
  ];
  return { ...parts, kind: 'cairn/verdict', v: 1, verdict: worstOf(verdicts) };
}

/** Order of the bytes of UTF-8, which is that of code points. */
function byText(one: string, other: string): number {
  if (one === other) return 0;
  const [left, right] = [[...one], [...other]];
  for (let at = 0; at < Math.min(left.length, right.length); at += 1) {
    const difference = left[at]!.codePointAt(0)! - right[at]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
