import { firstVersions } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { KeyHistory, type KeyRole, type NoteKey } from '@cairn/ledger';
import type { SigningKeys } from './signing-keys.ts';
import type { ArchiveStore } from './store-object.ts';

const STATEMENT_BYTES_MAX = 65_536;

/** The key history of the bucket, believed as far as the root key has signed it. @throws Failure as `KeyHistory.of`. */
export async function readKeyHistory(
  store: ArchiveStore,
  deployment: string,
  rootKey: NoteKey,
): Promise<KeyHistory> {
  const history = new KeyHistory(deployment);
  for await (const { key, version } of firstVersions(store, 'key/')) {
    history.add(await store.get(key, { version, bytesMax: STATEMENT_BYTES_MAX }), rootKey);
  }
  return history;
}

/** Key of the streams that this process records itself; undefined for those of others. */
export type OwnStreamKey = (orgId: string, gatewayId: string) => NoteKey | undefined;

/** Keys that archival believes: its own, and those of the history, which are older or of other instances. */
export class KnownKeys {
  readonly #own: SigningKeys;
  readonly #ownStream: OwnStreamKey;
  readonly #readHistory: () => Promise<KeyHistory | undefined>;
  #history: KeyHistory | undefined;

  private constructor(
    own: SigningKeys,
    ownStream: OwnStreamKey,
    readHistory: () => Promise<KeyHistory | undefined>,
  ) {
    this.#own = own;
    this.#ownStream = ownStream;
    this.#readHistory = readHistory;
  }

  /**
   * @param readHistory gives undefined where no root key is configured: then signatures of gateways are not judged.
   * @throws Failure as `readHistory`.
   */
  static async read(
    own: SigningKeys,
    readHistory: () => Promise<KeyHistory | undefined>,
    ownStream: OwnStreamKey = () => undefined,
  ): Promise<KnownKeys> {
    const keys = new KnownKeys(own, ownStream, readHistory);
    await keys.renew();
    return keys;
  }

  /** Reads the history anew: keys are stated while archival runs. @throws Failure as `readHistory`. */
  async renew(): Promise<void> {
    this.#history = await this.#readHistory();
  }

  /** As it was read last; undefined where no root key is configured. */
  get history(): KeyHistory | undefined {
    return this.#history;
  }

  log(origin: string, size: number): NoteKey[] {
    return this.#with(this.#own.log(origin).key, 'log', origin, size);
  }

  archive(origin: string, end: number): NoteKey[] {
    return this.#with(this.#own.archive.key, 'archive', origin, end);
  }

  anchor(origin: string, size: number): NoteKey[] {
    return this.#with(this.#own.anchor.key, 'anchor', origin, size);
  }

  /** `unjudged` without a key history; undefined when it has no such key for this epoch. */
  gateway(orgId: string, gatewayId: string, epoch: number, keyId: string): NoteKey | 'unjudged' | undefined {
    if (this.#history === undefined) return 'unjudged';
    const own = this.#ownStream(orgId, gatewayId);
    if (own?.keyId === keyId) return own;
    return this.#history.gatewayKey(orgId, gatewayId, epoch, keyId);
  }

  #with(own: NoteKey, role: KeyRole, subject: string, position: number): NoteKey[] {
    const stated = this.#history?.keysAt(role, subject, position) ?? [];
    return [own, ...stated.filter(({ vkey }) => vkey !== own.vkey)];
  }
}

/** A note of the archive that no key opens, or that says what cannot be. */
export function archiveBroken(origin: string, why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'archive.broken',
    retry: 'later',
    message: `the archive of ${origin} cannot be continued: ${why}`,
    mend: 'Run: cairn verify. Nothing more of this partition is archived until the archive is whole; Kafka keeps it meanwhile.',
    ...(cause === undefined ? {} : { cause }),
  });
}
