import { readFile } from 'node:fs/promises';
import { addCheckpoint, requestTimestamp } from '@cairn/adapters';
import { Failure, messageOf } from '@cairn/failure';
import type { Cosigner, Stamper } from './anchor-checkpoints.ts';

/**
 * The configured timestamp authorities.
 *
 * @param configured `name=url=file of trusted certificates`.
 * @throws Failure `config.invalid` when a file cannot be read.
 */
export async function stampersOf(configured: readonly string[]): Promise<Stamper[]> {
  return Promise.all(
    configured.map(async (text) => {
      const [name, url, file] = partsOf(text);
      const caCertificates = await readFile(file, 'utf8').catch((cause: unknown) => {
        throw new Failure({
          code: 'config.invalid',
          retry: 'no',
          message: `the certificates ${file} of timestamp authority ${name} cannot be read: ${messageOf(cause)}`,
          mend: 'CAIRN_TIMESTAMP_AUTHORITIES names it.',
          cause,
        });
      });
      return {
        name,
        async stamp(data) {
          const { response, genTime } = await requestTimestamp({ name, url, caCertificates }, data);
          return { response, atMs: genTime.getTime() };
        },
      };
    }),
  );
}

/** The configured witnesses. @param configured `name=url=verifier key`. */
export function cosignersOf(configured: readonly string[]): Cosigner[] {
  return configured.map((text) => {
    const [name, url, vkey] = partsOf(text);
    return {
      name,
      async cosign(oldSize, proof, checkpoint) {
        const shown = { oldSize, proof, checkpoint: Buffer.from(checkpoint).toString() };
        const answer = await addCheckpoint({ url, vkey }, shown);
        if (answer.outcome === 'conflict') return { size: answer.size };
        return { line: answer.line, atMs: answer.cosignedAt.getTime() };
      },
    };
  });
}

/** The third part may hold "=": base64 does. */
function partsOf(text: string): [name: string, url: string, rest: string] {
  const [name = '', url = '', ...rest] = text.split('=');
  return [name, url, rest.join('=')];
}
