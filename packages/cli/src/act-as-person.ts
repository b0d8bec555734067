import { readHolds } from '@cairn/adapters';
import { deploymentOf, openEvidence, readSigner, readWholeKeys } from '@cairn/archive';
import { type KeyHistory, type NoteSigner, personKeyName } from '@cairn/ledger';
import { type LegalHold, withHolds } from '@cairn/retention';
import { readRetention } from '@cairn/runtime';
import type { CliConfig } from './config.ts';
import { readTrusted } from './trusted.ts';

/** What a command line says of who acts, and why. */
export interface PersonOptions {
  /** Where the keys of persons are stated and holds are: a directory or `s3://bucket`. */
  readonly archive: string;
  readonly by: string;
  /** Private key of the person, PEM. */
  readonly key: string;
  readonly reason: string;
  readonly root?: string;
}

/** A person who signs what they do, at the archive that says whether they may. */
export interface Person extends AsyncDisposable {
  readonly deployment: string;
  readonly signer: NoteSigner;
  /** Says which keys of persons are valid. */
  readonly history: KeyHistory;
  /**
   * The legal holds of the policy and those that persons have signed, read now.
   *
   * @throws Failure where one does not count: then nothing may be destroyed.
   */
  holdsNow(): Promise<Holds>;
}

export interface Holds {
  readonly holds: readonly LegalHold[];
  /** Signed statements about holds: the position at which a person's key is judged. */
  readonly position: number;
}

/** @throws Failure `config.invalid`, `key-history.broken`; of the store. */
export async function openPerson(
  config: CliConfig,
  { archive, by, key, root }: PersonOptions,
): Promise<Person> {
  const { rootKey } = await readTrusted(root === undefined ? {} : { root }, config.rootKey);
  const deployment = deploymentOf(rootKey);
  const signer = await readSigner(key, personKeyName(deployment, by));
  const evidence = await openEvidence(archive, config.s3);
  try {
    const history = await readWholeKeys(evidence, rootKey);
    return {
      deployment,
      signer,
      history,
      async holdsNow() {
        const signed = await readHolds(evidence, history);
        const { holds } = withHolds(readRetention(config.retentionFile), signed.holds);
        return { holds, position: signed.next.number };
      },
      [Symbol.asyncDispose]: () => evidence[Symbol.asyncDispose](),
    };
  } catch (error) {
    await evidence[Symbol.asyncDispose]();
    throw error;
  }
}
