import { join } from 'node:path';
import {
  createSealer,
  keyMadeEvent,
  type PrivacyGuard,
  readKeyEncryptionKey,
  type Sealer,
  SubjectKeys,
} from '@cairn/privacy';
import type { Recorder } from '@cairn/recorder';
import type { GatewayConfig } from './config.ts';

/**
 * What seals values as the configuration says; undefined where it seals nothing.
 *
 * @throws Failure `keys.unreadable` when a key-encryption key is not there or others may read it.
 */
export async function openSealer(
  { privacy: { rules, sealing }, data_directory }: GatewayConfig,
  guard: PrivacyGuard,
  recorder: Recorder,
): Promise<Sealer | undefined> {
  if (sealing === undefined) return undefined;
  const keys = new SubjectKeys({
    directory: sealing.directory ?? join(data_directory, 'subjects'),
    keyEncryptionKeys: await Promise.all(sealing.key_encryption_keys.map(readKeyEncryptionKey)),
    onMade: async (key) => void (await recorder.record({ ...keyMadeEvent(key), service: 'gateway' })),
  });
  return createSealer({
    rules,
    responses: sealing.responses,
    keyFor: (orgId, subject) => keys.keyFor(orgId, subject),
    token: (orgId, valueClass, value) => guard.token(orgId, valueClass, value),
  });
}
