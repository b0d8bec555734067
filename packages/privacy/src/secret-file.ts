import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure } from '@cairn/failure';

const SECRET_BYTES = 32;

/**
 * A secret of 32 bytes from its file: base64 and a newline, which nobody but the owner may read.
 *
 * @param what the secret is, and how to mend it, for the message.
 * @returns undefined when no file is there.
 * @throws Failure `keys.unreadable`
 */
export async function readSecretFile(
  file: string,
  what: { readonly name: string; readonly mend: string },
): Promise<Uint8Array | undefined> {
  const unreadable = (why: string): Failure =>
    new Failure({
      code: 'keys.unreadable',
      retry: 'no',
      message: `${what.name} ${file} ${why}`,
      mend: what.mend,
    });
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unreadable('cannot be opened');
  }
  try {
    const { mode } = await handle.stat();
    if ((mode & 0o077) !== 0) throw unreadable('may be read by others');
    const bytes = Buffer.from((await handle.readFile('utf8')).trim(), 'base64');
    if (bytes.length !== SECRET_BYTES) throw unreadable('does not hold 32 bytes in base64');
    return bytes;
  } finally {
    await handle.close();
  }
}

/**
 * Makes a secret. Written aside, made durable, then linked to its name: two processes that start together end with one.
 *
 * @returns the secret that the file holds: the one made here, or the one that was there before.
 */
export async function makeSecretFile(
  file: string,
): Promise<{ readonly secret: Uint8Array; readonly isNew: boolean }> {
  const secret = randomBytes(SECRET_BYTES);
  const aside = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(aside, 'wx', 0o600);
  try {
    await handle.writeFile(`${secret.toString('base64')}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  let isNew = true;
  try {
    await link(aside, file);
    const directory = await open(dirname(file), 'r');
    await directory.sync().finally(() => directory.close());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    isNew = false;
  } finally {
    await rm(aside, { force: true });
  }
  return { secret: Buffer.from((await readFile(file, 'utf8')).trim(), 'base64'), isNew };
}
