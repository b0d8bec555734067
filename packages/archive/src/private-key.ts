import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Failure, messageOf } from '@cairn/failure';
import { type NoteSigner, noteSignerOf } from '@cairn/ledger';

/**
 * A private key of a file (PKCS #8, PEM, Ed25519) under the name that its role has.
 *
 * @throws Failure `config.invalid`
 */
export async function readSigner(path: string, name: string): Promise<NoteSigner> {
  try {
    const pem = await readFile(path);
    const privateKey = createPrivateKey(pem);
    if (privateKey.asymmetricKeyType !== 'ed25519')
      throw new Error(`it is a key of ${privateKey.asymmetricKeyType}`);
    return noteSignerOf(name, privateKey);
  } catch (cause) {
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message: `the private key ${path} cannot be used: ${messageOf(cause)}`,
      mend: 'Name a file with an Ed25519 key as PKCS #8 in PEM, such as `cairn keys create` writes.',
      cause,
    });
  }
}
