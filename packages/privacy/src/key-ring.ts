import { hkdfSync } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hmacSha256Of, type Mac } from './hmac-sha256.ts';
import { makeSecretFile, readSecretFile } from './secret-file.ts';

export type KeyPurpose = 'hash' | 'token';

/** The keys under which values are hashed: one for each organisation and purpose, so that none can be compared across. */
export interface KeyRing {
  /** HMAC-SHA256 under the key of this organisation and purpose: 32 bytes for any text. */
  macFor(orgId: string, purpose: KeyPurpose): Mac;
}

/**
 * Keys derived from one master key that lies in a file of this directory, mode 0600, made at the first use.
 *
 * Whoever has the master key can test guesses against hashes and tokens; losing it makes old tokens unsearchable.
 *
 * @throws Failure `keys.unreadable` when the file is not a master key or others may read it.
 */
export async function openKeyRing({ directory }: { readonly directory: string }): Promise<KeyRing> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, 'privacy-master.key');
  const master = (await readSecretFile(file, MASTER)) ?? (await makeSecretFile(file)).secret;
  return keyRingOf(master);
}

const MASTER = {
  name: 'the privacy key',
  mend: 'Restore it from your backup with mode 0600. A new one makes earlier tokens and hashes incomparable.',
};

/** The ring of a master key that is kept elsewhere. HKDF-SHA256 (RFC 5869), the organisation and purpose as its info. */
export function keyRingOf(master: Uint8Array): KeyRing {
  const known = new Map<string, Mac>();
  return {
    macFor(orgId, purpose) {
      const info = `audit-privacy/v1\n${purpose}\n${orgId}`;
      const cached = known.get(info);
      if (cached) return cached;
      const mac = hmacSha256Of(new Uint8Array(hkdfSync('sha256', master, new Uint8Array(), info, 32)));
      if (known.size < ORGANISATIONS_CACHED) known.set(info, mac);
      return mac;
    },
  };
}

const ORGANISATIONS_CACHED = 10_000;
