export { type ClassChoice, classOf } from './choose-class.ts';
export { type Covered, covers, holdsCompared, holdsOn, stands } from './cover-hold.ts';
export { type Explanation, explainRetention, type Reason } from './explain-retention.ts';
export { type Warning, warningsOf } from './find-warnings.ts';
export { type Claim, countedFrom, type EventTimes, type Keep, keepUntil, lockUntil } from './keep-until.ts';
export { ownTopic } from './own-topic.ts';
export {
  daysToCover,
  endOf,
  instantText,
  type Millis,
  type Period,
  parsePeriod,
  periodText,
} from './period.ts';
export { type ArchivedSegment, planExpiry, type SegmentPlan } from './plan-expiry.ts';
export { type HotDay, type HotDayPlan, hotUntil, planHotDays } from './plan-hot.ts';
export type {
  Assignment,
  Basis,
  HoldRelease,
  LegalHold,
  LockRenewal,
  ObjectLockMode,
  Regime,
  RetentionClass,
  RetentionPolicy,
} from './policy.ts';
export { classNamed } from './policy.ts';
export { policyJsonSchema } from './policy-schema.ts';
export { type Mistake, mistakeText, type PolicyReading, policyOf, readPolicy } from './read-policy.ts';
export { type HoldAsSigned, withHolds } from './with-holds.ts';
