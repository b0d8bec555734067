export {
  type ApiKey,
  createKey,
  draftKey,
  findKey,
  KEY_DAYS_MAX,
  type KeyDatabase,
  type KeyPlace,
  type KeyRequest,
  keepKey,
  listKeys,
  type OwedRevocation,
  owedRevocations,
  type RevokedBy,
  revokeKey,
  settleRevocation,
} from './key-store.ts';
export { isKey, keyIdOf, makeKey, type NewKey } from './key-text.ts';
export { ROLES, type Role, SCOPES, SCOPES_OF, type Scope } from './roles.ts';
