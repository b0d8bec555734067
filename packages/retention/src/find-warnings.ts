import { stands } from './cover-hold.ts';
import { binds, keepUntil } from './keep-until.ts';
import { dayOf, daysToCover, endOf, type Millis, periodText } from './period.ts';
import type { RetentionClass, RetentionPolicy } from './policy.ts';

/** Something that the policy may mean so, and that a person should have seen. */
export interface Warning {
  readonly code:
    | 'maximum.exceeded'
    | 'hot.short'
    | 'lock.short'
    | 'lock.governance'
    | 'regime.not-binding'
    | 'organisation.unclassed'
    | 'hold.broad';
  /** Class or hold that it is about; absent when it is about the whole policy. */
  readonly about: string | undefined;
  readonly message: string;
}

/**
 * What in the policy does not fit together, for events of this instant.
 *
 * @param now milliseconds.
 */
export function warningsOf(policy: RetentionPolicy, now: Millis): Warning[] {
  const warnings = [...policy.classes.values()].flatMap((retentionClass) => aboutClass(retentionClass, now));
  if (policy.defaultClass === undefined) {
    warnings.push({
      code: 'organisation.unclassed',
      about: undefined,
      message: 'there is no default_class, so an organisation without an entry has no class and no topic',
    });
  }
  for (const hold of policy.holds) {
    if (hold.org !== undefined || !stands(hold, now)) continue;
    warnings.push({
      code: 'hold.broad',
      about: hold.id,
      message: `hold ${hold.id} names no organisation and covers every segment of its time`,
    });
  }
  return warnings;
}

/** What does not fit together in one class, for events of this instant. */
export function aboutClass(retentionClass: RetentionClass, now: Millis): Warning[] {
  const { name, regimes, hotDays, objectLock, lockFor } = retentionClass;
  const warnings: Warning[] = [];
  const warn = (code: Warning['code'], message: string) =>
    warnings.push({ code, about: name, message: `class ${name}: ${message}` });
  const keep = keepUntil(retentionClass, {
    timestamps: { min: now * 1_000, max: now * 1_000 },
    received: { min: now, max: now },
  });
  const [winner] = keep.claims;
  for (const { title, keepAtMost, hotAtLeast, timezone } of regimes) {
    if (keepAtMost !== undefined && winner && keep.until > endOf(now, keepAtMost, timezone).until) {
      warn(
        'maximum.exceeded',
        `${title} has ${periodText(keepAtMost)} as the most, and ${winner.regime.title} asks for ${
          winner.demand === 'operation' ? 'the time of operation and ' : ''
        }${periodText(winner.period)}; the longer is kept`,
      );
    }
    if (hotAtLeast !== undefined && hotDays < daysToCover(hotAtLeast)) {
      const days = daysToCover(hotAtLeast);
      warn('hot.short', `${hotDays} hot days, and ${periodText(hotAtLeast)} of ${title} need ${days}`);
    }
  }
  if (lockFor !== undefined) {
    const locked = endOf(now, lockFor, 'UTC').until;
    for (const { regime, period, until } of keep.claims) {
      if (locked >= until) continue;
      warn(
        'lock.short',
        `the lock is ${periodText(lockFor)}, and ${regime.title} asks for ${periodText(period)}`,
      );
    }
  }
  if (objectLock === 'GOVERNANCE') {
    warn('lock.governance', 'whoever may bypass governance retention can delete what it locks');
  }
  for (const regime of regimes) {
    if (binds(regime, now, now)) continue;
    const when =
      regime.appliesUntil !== undefined && regime.appliesUntil <= dayOf(now, regime.timezone).toString()
        ? `bound events before ${regime.appliesUntil}`
        : `binds events from ${regime.appliesFrom}`;
    warn('regime.not-binding', `${regime.title} ${when}, and does not count today`);
  }
  return warnings;
}
