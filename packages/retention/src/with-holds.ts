import type { LegalHold, RetentionPolicy } from './policy.ts';

/** A hold as persons have signed it (schemas/ledger.md, "Legal holds"). */
export type HoldAsSigned = Omit<LegalHold, 'release'> & {
  readonly releases: readonly { readonly by: string; readonly at: number; readonly reason: string }[];
};

/** The policy with the signed holds behind those of its file. One is released by its second signature, not by its first. */
export function withHolds(policy: RetentionPolicy, signed: readonly HoldAsSigned[]): RetentionPolicy {
  const holds = signed.map(({ releases, ...hold }): LegalHold => {
    const [one, two] = releases;
    if (one === undefined || two === undefined) return { ...hold, release: undefined };
    const release = { by: [one.by, two.by], at: Math.max(one.at, two.at), reason: two.reason };
    return { ...hold, release };
  });
  return { ...policy, holds: [...policy.holds, ...holds] };
}
