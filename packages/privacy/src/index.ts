export {
  createPrivacyGuard,
  type GuardedParameters,
  type GuardedResponse,
  type PrivacyGuard,
  type PrivacyOptions,
} from './guard.ts';
export {
  type KeyEncryptionKey,
  keyEncryptionKeyOf,
  makeKeyEncryptionKey,
  readKeyEncryptionKey,
} from './key-encryption-key.ts';
export { keyMadeEvent } from './key-events.ts';
export { type KeyPurpose, type KeyRing, keyRingOf, openKeyRing } from './key-ring.ts';
export { canonicalJson } from './keyed.ts';
export { openSealed, type SealedEvent, type Unsealed } from './open-sealed.ts';
export {
  matches,
  type PrivacyRules,
  privacyRulesSchema,
  rulesWithoutSealingSchema,
  sealedResponsesSchema,
} from './rules.ts';
export {
  joinBlocks,
  type NamedValue,
  openBlock,
  type SealedBlock,
  type SealedField,
  sealBlock,
  splitBlocks,
} from './sealed-value.ts';
export { createSealer, type SealableCall, type SealedValues, type Sealer } from './sealer.ts';
export { isSubject, type KeyState, ORGANISATION, type SubjectKey, SubjectKeys } from './subject-keys.ts';
