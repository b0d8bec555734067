export {
  createPrivacyGuard,
  type GuardedParameters,
  type GuardedResponse,
  type PrivacyGuard,
  type PrivacyOptions,
} from './guard.ts';
export { type KeyPurpose, type KeyRing, keyRingOf, openKeyRing } from './key-ring.ts';
export { canonicalJson } from './keyed.ts';
export { matches, type PrivacyRules, privacyRulesSchema } from './rules.ts';
