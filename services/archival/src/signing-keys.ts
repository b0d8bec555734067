import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure, messageOf } from '@cairn/failure';
import { anchorOrigin, archiveKeyName, type NoteSigner, noteSignerOf } from '@cairn/ledger';

/** The keys that archival signs with. Their public halves are stated in the key history by the root key, which is not here. */
export interface SigningKeys {
  /** Signs the checkpoints of one log: one key for all of them, under the name of each. */
  log(origin: string): NoteSigner;
  /** Signs manifests, tombstones and deletions. */
  readonly archive: NoteSigner;
  /** Signs the checkpoints of the anchor log. */
  readonly anchor: NoteSigner;
}

const ROLES = ['log', 'archive', 'anchor'] as const;

/**
 * The keys in a directory: `log.pem`, `archive.pem`, `anchor.pem` (PKCS #8, Ed25519, mode 0600). One that is missing is made,
 * once, and is durable before it signs. Instances of archival in one deployment share them.
 *
 * @throws Failure `archive.key-unreadable`
 */
export async function openSigningKeys(directory: string, deployment: string): Promise<SigningKeys> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await removeDrafts(directory);
  const [log, archive, anchor] = await Promise.all(ROLES.map((role) => openKey(directory, role)));
  return signingKeysOf({ log: log!, archive: archive!, anchor: anchor! }, deployment);
}

/** Longer than it takes to write one: another instance may be about to. */
const DRAFT_MS_MAX = 60_000;

/** Drafts that a start left which was killed while it made a key: private keys that nobody uses. */
async function removeDrafts(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!/^[a-z]+\.(pem|vkey)\.[0-9a-f]{12}$/.test(name)) continue;
    const path = join(directory, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (Date.now() - mtimeMs > DRAFT_MS_MAX) await rm(path, { force: true });
  }
}

/** The keys of a deployment from their private halves. */
export function signingKeysOf(
  keys: Readonly<Record<(typeof ROLES)[number], KeyObject>>,
  deployment: string,
): SigningKeys {
  return {
    log: (origin) => noteSignerOf(origin, keys.log),
    archive: noteSignerOf(archiveKeyName(deployment), keys.archive),
    anchor: noteSignerOf(anchorOrigin(deployment), keys.anchor),
  };
}

/**
 * Writes the verifier keys beside the private ones, a line each: `log.vkey` with one for each log, `archive.vkey`,
 * `anchor.vkey`. They are what the holder of the root key is handed (`cairn keys enrol`).
 */
export async function handOutVkeys(
  directory: string,
  signing: SigningKeys,
  origins: readonly string[],
): Promise<void> {
  await replaceLines(
    join(directory, 'log.vkey'),
    origins.map((origin) => signing.log(origin)),
  );
  await replaceLines(join(directory, 'archive.vkey'), [signing.archive]);
  await replaceLines(join(directory, 'anchor.vkey'), [signing.anchor]);
}

async function replaceLines(path: string, signers: readonly NoteSigner[]): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, signers.map(({ key }) => `${key.vkey}\n`).join(''), { flush: true });
  await rename(draft, path);
}

async function openKey(directory: string, role: string): Promise<KeyObject> {
  const path = join(directory, `${role}.pem`);
  const pem = (await readIfThere(path)) ?? (await makeKey(path));
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is a key of ${key.asymmetricKeyType}`);
    return key;
  } catch (cause) {
    throw new Failure({
      code: 'archive.key-unreadable',
      retry: 'no',
      message: `the signing key ${path} cannot be read: ${messageOf(cause)}`,
      mend: 'Restore it from a backup. A new key must be stated in the key history before anything signed by it counts.',
      cause,
    });
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Failure({
      code: 'archive.key-unreadable',
      retry: 'no',
      message: `the signing key ${path} cannot be read: ${messageOf(error)}`,
      cause: error,
    });
  }
}

/** Whole or not at all, and never in the place of one that another instance made meanwhile. */
async function makeKey(path: string): Promise<string> {
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(pem);
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(draft, 0o600);
  try {
    await link(draft, path);
    await syncDirectory(dirname(path));
    return pem;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return await readFile(path, 'utf8');
  } finally {
    await rm(draft, { force: true });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
