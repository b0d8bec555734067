import { basename } from 'node:path';
import { buildBundle, openEvidence, readKeys, readSigner } from '@cairn/archive';
import { archiveKeyName } from '@cairn/ledger';
import { visible } from '@cairn/session';
import type { CliConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import { readNamed, readTrusted } from './trusted.ts';

export interface BundleOptions {
  readonly org: string;
  /** RFC 3339 or a day; inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  readonly archive: string;
  readonly root?: string;
  /** Private key of the archive, PEM. */
  readonly key: string;
  readonly policy?: readonly string[];
}

/** `cairn bundle FILE`: what proves the events of an organisation over a range of time, in one signed file. */
export async function bundle(
  output: Output,
  config: CliConfig,
  file: string,
  options: BundleOptions,
  now: number,
): Promise<number> {
  const { org, from, to } = options;
  const { rootKey } = await readTrusted(options, config.rootKey);
  await using evidence = await openEvidence(options.archive, config.s3);
  const { history } = await readKeys(evidence, rootKey);
  const signer = await readSigner(options.key, archiveKeyName(history.deployment));
  const policies = await Promise.all(
    (options.policy ?? [config.retentionFile]).map(async (path) => ({
      name: basename(path),
      bytes: await readNamed(path),
    })),
  );
  const query = `organisation ${JSON.stringify(org)}, received from ${new Date(from).toISOString()} to before ${new Date(to).toISOString()}`;
  const built = await buildBundle(
    evidence,
    history,
    rootKey,
    signer,
    { org, from, to, query, createdAt: now, policies },
    file,
  );
  if (!history.keysOf('archive').some(({ vkey }) => vkey === signer.key.vkey))
    output.note('The key history does not have this archive key: nobody else can verify the bundle.');
  output.value({ file, ...built });
  output.line(
    visible(`${file}: ${built.events} events of ${org} in ${built.segments} segments, ${built.bytes} bytes`),
  );
  output.note('`cairn verify` checks it offline.');
  return EXIT.ok;
}
