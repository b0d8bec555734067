import { readKeyEncryptionKey, SubjectKeys } from '@cairn/privacy';
import type { QueryConfig } from './config.ts';

/**
 * The keys of sealed values, to open with and not to make.
 *
 * @throws Failure when a file of a key-encryption key cannot be read, or is not one.
 */
export async function openSubjectKeys(
  unsealing: QueryConfig['unsealing'],
): Promise<Pick<SubjectKeys, 'openKey'> | undefined> {
  if (unsealing === undefined) return undefined;
  const keyEncryptionKeys = [];
  for (const file of unsealing.keyEncryptionKeys) keyEncryptionKeys.push(await readKeyEncryptionKey(file));
  return new SubjectKeys({
    directory: unsealing.store,
    keyEncryptionKeys,
    onMade: () => Promise.reject(new TypeError('the query API makes no keys')),
  });
}
