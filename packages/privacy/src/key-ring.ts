import { hkdfSync, randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '@cairn/failure';
import { hmacSha256Of, type Mac } from './hmac-sha256.ts';

export type KeyPurpose = 'hash' | 'token';

/** The keys under which values are hashed: one for each organisation and purpose, so that none can be compared across. */
export interface KeyRing {
  /** HMAC-SHA256 under the key of this organisation and purpose: 32 bytes for any text. */
  macFor(orgId: string, purpose: KeyPurpose): Mac;
}

const MASTER_BYTES = 32;

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
  const master = (await readMaster(file)) ?? (await makeMaster(file));
  return keyRingOf(master);
}

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

async function readMaster(file: string): Promise<Uint8Array | undefined> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unreadable(file, 'cannot be opened');
  }
  try {
    const { mode } = await handle.stat();
    if ((mode & 0o077) !== 0) throw unreadable(file, 'may be read by others');
    const bytes = Buffer.from((await handle.readFile('utf8')).trim(), 'base64');
    if (bytes.length !== MASTER_BYTES) throw unreadable(file, 'does not hold 32 bytes in base64');
    return bytes;
  } finally {
    await handle.close();
  }
}

/** Written aside, made durable, then linked to its name: two processes that start together end with one key. */
async function makeMaster(file: string): Promise<Uint8Array> {
  const master = randomBytes(MASTER_BYTES);
  const aside = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(aside, 'wx', 0o600);
  await handle.writeFile(`${master.toString('base64')}\n`);
  await handle.sync();
  await handle.close();
  try {
    await link(aside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(aside, { force: true });
  }
  const kept = Buffer.from((await readFile(file, 'utf8')).trim(), 'base64');
  return kept;
}

function unreadable(file: string, why: string): Failure {
  return new Failure({
    code: 'keys.unreadable',
    retry: 'no',
    message: `the privacy key ${file} ${why}`,
    mend: 'Restore it from your backup with mode 0600. A new one makes earlier tokens and hashes incomparable.',
  });
}
