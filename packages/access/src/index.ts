export {
  type ApiKey,
  createKey,
  findKey,
  KEY_DAYS_MAX,
  type KeyDatabase,
  type KeyRequest,
  listKeys,
  revokeKey,
} from './key-store.ts';
export { isKey, keyIdOf, makeKey, type NewKey } from './key-text.ts';
export { ROLES, type Role, SCOPES, SCOPES_OF, type Scope } from './roles.ts';
