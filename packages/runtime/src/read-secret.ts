import { readFileSync } from 'node:fs';
import { Failure, messageOf } from '@cairn/failure';

/**
 * A secret from its file, without the white space around it. Configuration names files and never holds the secret itself, so that a
 * configuration can be shown, compared and kept.
 *
 * @throws Failure `secret.unreadable` that names the file, never what is in it.
 */
export function readSecret(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw unreadable(file, messageOf(error));
  }
  if (text === '') throw unreadable(file, 'it is empty');
  return text;
}

function unreadable(file: string, why: string): Failure {
  return new Failure({
    code: 'secret.unreadable',
    retry: 'no',
    message: `the secret in ${file} cannot be read: ${why}`,
    mend: 'Put the secret there, readable for the user that the service runs as.',
  });
}
