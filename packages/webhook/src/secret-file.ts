import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { Failure, messageOf } from '@cairn/failure';
import { signerOf } from './sign-webhook.ts';

/**
 * The secrets of a file, one in a line; while one is exchanged for the other both stand there. It is read at each attempt, so a
 * change is in force at once. Only its owner may read it.
 *
 * @throws Failure `webhook.secret-file`; never says what the file holds.
 */
export function secretsOfFile(file: string): string[] {
  const secrets = linesOf(file);
  for (const secret of secrets) {
    try {
      signerOf(secret);
    } catch {
      throw unusable(file, 'holds a line that is no whsec_ secret and no whsk_ key');
    }
  }
  return secrets;
}

/** The key of an integration, alone in its file. @throws Failure `webhook.secret-file` */
export function keyOfFile(file: string): string {
  const [key = '', ...others] = linesOf(file);
  if (others.length > 0 || key.length > 200)
    throw unusable(file, 'must hold one key, of at most 200 characters');
  return key;
}

function linesOf(file: string): string[] {
  let text: string;
  try {
    const handle = openSync(file, 'r');
    try {
      if ((fstatSync(handle).mode & 0o077) !== 0) throw unusable(file, 'may be read by others');
      text = readFileSync(handle, 'utf8');
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw unusable(file, `cannot be read: ${messageOf(error)}`);
  }
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (lines.length === 0 || lines.length > 4) throw unusable(file, 'must hold one to four lines');
  return lines;
}

function unusable(file: string, why: string): Failure {
  return new Failure({
    code: 'webhook.secret-file',
    retry: 'later',
    message: `${file} ${why}`,
    mend: 'Write one secret in a line, and take the rights of others away: chmod 600. It is read again at the next attempt.',
  });
}
