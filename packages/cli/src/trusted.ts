import { readFile } from 'node:fs/promises';
import type { Trusted } from '@cairn/archive';
import { Failure, messageOf } from '@cairn/failure';
import { type NoteKey, parseVkey } from '@cairn/ledger';

/** What a command line names of what an auditor brings. */
export interface TrustedOptions {
  /** Verifier key of the root, or a file that holds it. */
  readonly root?: string;
  /** Files of checkpoints. */
  readonly kept?: readonly string[];
  /** Files of certificates, PEM. */
  readonly timeCa?: readonly string[];
  /** Verifier keys, or files that hold them. */
  readonly witness?: readonly string[];
  readonly anchored?: boolean;
}

/**
 * @param fallback the root's key when the command line names none.
 * @throws Failure `config.invalid`, `key.invalid`.
 */
export async function readTrusted(options: TrustedOptions, fallback: string | undefined): Promise<Trusted> {
  const { root = fallback, kept = [], timeCa = [], witness = [], anchored = false } = options;
  if (root === undefined) {
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message: 'no root key is given, and nothing else in an archive can be trusted',
      mend: 'Add --root with the verifier key that you were handed, or the file that holds it; or set CAIRN_ROOT_KEY.',
    });
  }
  const rootKey = await readKey(root);
  if (!rootKey.name.endsWith('/root')) {
    throw new Failure({
      code: 'key.invalid',
      retry: 'no',
      message: `${rootKey.name} is no name of a root key`,
      mend: 'A root key is called <deployment>/root.',
    });
  }
  return {
    rootKey,
    kept: await Promise.all(kept.map(readNamed)),
    timeCertificates:
      timeCa.length === 0
        ? undefined
        : (await Promise.all(timeCa.map(readNamed))).map((bytes) => bytes.toString()).join('\n'),
    witnesses: await Promise.all(witness.map(readKey)),
    isAnchored: anchored,
  };
}

/** A verifier key from the command line: itself, or the file that holds it. */
export async function readKey(given: string): Promise<NoteKey> {
  if (/^[^\s+]+\+[0-9a-f]{8}\+/u.test(given)) return parseVkey(given);
  return parseVkey((await readNamed(given)).toString().trim());
}

/** A file that the command line names. @throws Failure `config.invalid` */
export async function readNamed(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message: `${path} cannot be read: ${messageOf(cause)}`,
      cause,
    });
  });
}
