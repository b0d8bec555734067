/**
 * The data keys of subjects, one file each:
 *
 *     <directory>/<org>/<subject>.key                        JSON: the key, wrapped (key-encryption-key.ts); mode 0600
 *     <directory>/<org>/<subject>.new                        one that was made and that the trail may not know yet
 *     <directory>/<org>/<subject>.draft-<hex>                being written
 *     <directory>/<org>/<subject>.<key id>.erased.note       the signed decision to erase it, for ever
 *     <directory>/<org>/<subject>.<key id>.dead              one that is being overwritten
 *
 * Nothing is held in memory: each use reads the file, so an erasure counts for the next call of every process that uses the store.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Failure } from '@cairn/failure';
import { z } from 'zod';
import {
  checkCommit,
  commitOf,
  DATA_KEY_BYTES,
  type KeyEncryptionKey,
  type KeyPlace,
  unwrapKey,
  wrapKey,
} from './key-encryption-key.ts';
import { type KeyFiles, realKeyFiles } from './key-files.ts';

/** A data key as its file has it; the key itself only wrapped. */
export interface SubjectKey extends KeyPlace {
  /** `HMAC-SHA256(data key, "audit-dek-commit/v1")`, hex. */
  readonly commit: string;
  readonly madeAtMs: number;
  /** Id of the key-encryption key that wraps it. */
  readonly kek: string;
}

export interface OpenedKey {
  readonly key: SubjectKey;
  /** 32 bytes. Whoever asked for it overwrites it after use. */
  readonly dataKey: Buffer;
}

/** What the store knows of one key. */
export interface KeyState {
  readonly subject: string;
  readonly keyId: string;
  /** `erasing` is decided and not done: it opens nothing any more, and its file is still to be destroyed. */
  readonly state: 'living' | 'erasing' | 'erased';
  /** Of a living one. */
  readonly key: SubjectKey | undefined;
}

export interface SubjectKeysOptions {
  readonly directory: string;
  /** The first wraps, all of them unwrap. */
  readonly keyEncryptionKeys: readonly KeyEncryptionKey[];
  /** Tells the trail of a key that was made; it is used once this has resolved. May be told twice of one key. */
  readonly onMade: (key: SubjectKey) => Promise<void>;
  readonly nowMs?: () => number;
}

/** The subject of values that are about nobody in particular. */
export const ORGANISATION = 'organisation';

const fileForm = z.strictObject({
  commit: z.string().regex(/^[0-9a-f]{64}$/),
  kek: z.string().regex(/^[0-9a-f]{8}$/),
  key_id: z.string().regex(/^[0-9a-f]{32}$/),
  made_at: z.int().min(0),
  org: z.string(),
  subject: z.string(),
  v: z.literal(1),
  wrapped: z.base64(),
});

interface Stored {
  readonly key: SubjectKey;
  readonly wrapped: Uint8Array;
}

export class SubjectKeys {
  readonly #options: SubjectKeysOptions;
  readonly #files: KeyFiles;
  readonly #making = new Map<string, Promise<Stored>>();

  constructor(options: SubjectKeysOptions, files: KeyFiles = realKeyFiles) {
    this.#options = options;
    this.#files = files;
  }

  /**
   * The key of a subject, made at the first use; undefined while its erasure is decided and not done.
   *
   * @throws Failure `keys.altered`, `keys.unwrappable`; of the disk, and of `onMade`: then there may be a key that nothing uses.
   */
  async keyFor(orgId: string, subject: string): Promise<OpenedKey | undefined> {
    const stored =
      (await this.#read(orgId, `${subject}.key`)) ?? (await this.#makeOnce(checkedOrg(orgId), subject));
    if (await this.#isDecided(stored.key)) return undefined;
    return { key: stored.key, dataKey: this.#unwrap(stored) };
  }

  /** A key by its id, of any subject. */
  async openKey(
    orgId: string,
    keyId: string,
  ): Promise<
    | ({ readonly state: 'living' } & OpenedKey)
    | { readonly state: 'erased'; readonly subject: string; readonly note: Uint8Array }
    | { readonly state: 'unknown' }
  > {
    const names = await this.#files.list(this.#folder(orgId));
    const erased = names.find((name) => name.endsWith(`.${keyId}.erased.note`));
    if (erased !== undefined) {
      const note = (await this.#files.read(join(this.#folder(orgId), erased))) ?? new Uint8Array();
      return { state: 'erased', subject: erased.split('.')[0]!, note };
    }
    for (const name of names) {
      if (!name.endsWith('.key')) continue;
      const stored = await this.#read(orgId, name);
      if (stored?.key.keyId === keyId)
        return { state: 'living', key: stored.key, dataKey: this.#unwrap(stored) };
    }
    return { state: 'unknown' };
  }

  /** Organisations that have keys, or had. */
  orgIds(): Promise<string[]> {
    return this.#files.list(this.#options.directory);
  }

  /** Every key of an organisation, by subject. A key that was made again after an erasure is another one. */
  async states(orgId: string): Promise<KeyState[]> {
    const names = (await this.#files.list(this.#folder(orgId))).sort();
    const states: KeyState[] = [];
    const decided = new Map<string, string>();
    for (const name of names) {
      const [subject = '', keyId = '', what] = name.split('.');
      if (what === 'erased' && name.endsWith('.note')) decided.set(keyId, subject);
    }
    const undone = new Set(
      names.flatMap((name) => (name.endsWith('.dead') ? [name.split('.')[1] ?? ''] : [])),
    );
    for (const name of names.filter((one) => one.endsWith('.key'))) {
      const stored = await this.#read(orgId, name);
      if (stored === undefined) continue;
      const { subject, keyId } = stored.key;
      if (decided.has(keyId)) undone.add(keyId);
      else states.push({ subject, keyId, state: 'living', key: stored.key });
    }
    for (const [keyId, subject] of decided)
      states.push({ subject, keyId, state: undone.has(keyId) ? 'erasing' : 'erased', key: undefined });
    return states.sort((one, other) => (one.subject < other.subject ? -1 : 1));
  }

  /** The signed decision to erase a key; undefined where none was made. */
  decisionOn(orgId: string, subject: string, keyId: string): Promise<Uint8Array | undefined> {
    return this.#files.read(this.#noteOf({ orgId, subject, keyId }));
  }

  /**
   * Destroys a key. Safe to repeat: the decision that was written first stands, and what an earlier try began is ended.
   *
   * 1 The signed decision is written beside the key. COMMIT POINT: from here on nobody opens or seals with it, whatever is on disk.
   * 2 The trail is told; it may be told twice.
   * 3 The file leaves the subject's name, so that a later call may make another key.
   * 4 It, and what an interrupted making or wrapping left of it, is overwritten and deleted.
   *
   * @param note the signed decision.
   * @param tell resolves when the decision that stands is in the trail.
   */
  async erase(
    place: KeyPlace,
    note: Uint8Array,
    tell: (standing: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const { orgId, subject, keyId } = place;
    const folder = this.#folder(orgId);
    await this.#writeOnce(this.#noteOf(place), subject, orgId, note);
    await tell((await this.#files.read(this.#noteOf(place))) ?? note);

    const dead = join(folder, `${subject}.${keyId}.dead`);
    const current = await this.#read(orgId, `${subject}.key`);
    if (current?.key.keyId === keyId) {
      await this.#files.rename(join(folder, `${subject}.key`), dead);
      await this.#files.syncDirectory(folder);
    }
    for (const name of await this.#files.list(folder)) {
      if (!name.startsWith(`${subject}.`) || !/\.(new|draft-\w+|old-\w+)$/.test(name)) continue;
      const path = join(folder, name);
      // What an earlier try has overwritten says no more whose it was.
      const isZeroed = (await this.#files.read(path))?.every((byte) => byte === 0);
      if (!isZeroed && (await this.#read(orgId, name))?.key.keyId !== keyId) continue;
      await this.#files.overwrite(path);
      await this.#files.remove(path);
    }
    await this.#files.overwrite(dead);
    await this.#files.remove(dead);
    await this.#files.syncDirectory(folder);
  }

  /**
   * Wraps a key anew under the first key-encryption key; false where it is so already. What is sealed stays as it is.
   *
   * 1 The new file is written beside; 2 the old one gets a second name; 3 the new one takes its place. COMMIT POINT; 4 the old one
   * is overwritten. A crash leaves one of the two in place, each whole; erasing destroys both.
   */
  async rewrap(orgId: string, subject: string): Promise<boolean> {
    const name = `${subject}.key`;
    const folder = this.#folder(orgId);
    const stored = await this.#read(orgId, name);
    const [first] = this.#options.keyEncryptionKeys;
    if (stored === undefined || first === undefined || stored.key.kek === first.id) return false;
    if (await this.#isDecided(stored.key)) return false;
    const dataKey = this.#unwrap(stored);
    const draft = join(folder, draftOf(subject));
    const old = join(folder, `${subject}.old-${randomBytes(6).toString('hex')}`);
    const key = { ...stored.key, kek: first.id };
    await this.#files.create(draft, bytesOf(key, wrapKey(first, dataKey, key)));
    dataKey.fill(0);
    await this.#files.link(join(folder, name), old);
    await this.#files.rename(draft, join(folder, name));
    await this.#files.syncDirectory(folder);
    await this.#files.overwrite(old);
    await this.#files.remove(old);
    return true;
  }

  #makeOnce(orgId: string, subject: string): Promise<Stored> {
    const name = `${orgId}/${subject}`;
    const making = this.#making.get(name) ?? this.#make(orgId, subject);
    this.#making.set(name, making);
    void making.catch(() => {}).finally(() => this.#making.delete(name));
    return making;
  }

  /**
   * Makes the key of a subject, whoever else does the same in this moment or began it and ended.
   *
   * 1 A draft is written; 2 it gets the name `.new`, which only one can have: that one is the key, unless there is one already;
   * 3 the trail is told of it; 4 it gets its name. COMMIT POINT: only now it seals. A crash before 4 leaves a key that sealed
   * nothing, and whoever comes next goes on with it.
   */
  async #make(orgId: string, subject: string): Promise<Stored> {
    const folder = this.#folder(orgId);
    const [draft, fresh, final] = [draftOf(subject), `${subject}.new`, `${subject}.key`].map((name) =>
      join(folder, name),
    ) as [string, string, string];
    const [wrapping] = this.#options.keyEncryptionKeys;
    if (wrapping === undefined || !isSubject(subject)) throw unusable(subject);
    const dataKey = randomBytes(DATA_KEY_BYTES);
    const key: SubjectKey = {
      orgId,
      subject,
      keyId: randomBytes(16).toString('hex'),
      commit: commitOf(dataKey),
      madeAtMs: (this.#options.nowMs ?? Date.now)(),
      kek: wrapping.id,
    };
    await this.#files.makeDirectory(folder);
    await this.#files.syncDirectory(this.#options.directory);
    await this.#files.create(draft, bytesOf(key, wrapKey(wrapping, dataKey, key)));
    dataKey.fill(0);

    const taken = await this.#files.link(draft, fresh);
    await this.#files.remove(draft);
    const before = await this.#read(orgId, `${subject}.key`);
    if (before !== undefined) {
      if (taken === 'linked') await this.#files.remove(fresh);
      return before;
    }
    const made = await this.#read(orgId, `${subject}.new`);
    if (made !== undefined) {
      await this.#files.syncDirectory(folder);
      await this.#options.onMade(made.key);
      // Of two that got here with one file, the second finds it named, or gone.
      await this.#files.link(fresh, final).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      });
      await this.#files.syncDirectory(folder);
      await this.#files.remove(fresh);
    }
    const stored = await this.#read(orgId, `${subject}.key`);
    if (stored === undefined) throw unusable(subject);
    return stored;
  }

  async #writeOnce(path: string, subject: string, orgId: string, bytes: Uint8Array): Promise<void> {
    const folder = this.#folder(orgId);
    if ((await this.#files.read(path)) === undefined) {
      const draft = join(folder, `${subject}.decision-${randomBytes(6).toString('hex')}`);
      await this.#files.create(draft, bytes);
      await this.#files.link(draft, path);
      await this.#files.remove(draft);
    }
    await this.#files.syncDirectory(folder);
  }

  async #isDecided(place: KeyPlace): Promise<boolean> {
    return (await this.#files.read(this.#noteOf(place))) !== undefined;
  }

  async #read(orgId: string, name: string): Promise<Stored | undefined> {
    const path = join(this.#folder(orgId), name);
    const bytes = await this.#files.read(path);
    if (bytes === undefined) return undefined;
    try {
      const file = fileForm.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
      if (file.org !== orgId || file.subject !== name.split('.')[0])
        throw new RangeError('it is the key of another');
      const { org, subject, key_id: keyId, commit, kek, made_at: madeAtMs } = file;
      return {
        key: { orgId: org, subject, keyId, commit, kek, madeAtMs },
        wrapped: Buffer.from(file.wrapped, 'base64'),
      };
    } catch (cause) {
      throw new Failure({
        code: 'keys.altered',
        retry: 'no',
        message: `the data key ${path} cannot be read`,
        mend: 'Restore it from a backup of the key store, if its subject was not erased since.',
        cause,
      });
    }
  }

  #unwrap({ key, wrapped }: Stored): Buffer {
    const wrapping = this.#options.keyEncryptionKeys.find(({ id }) => id === key.kek);
    if (wrapping === undefined)
      throw new Failure({
        code: 'keys.unwrappable',
        retry: 'no',
        message: `the data key ${key.keyId} is wrapped by the key-encryption key ${key.kek}, which is not here`,
        mend: 'Name its file as well.',
      });
    const dataKey = unwrapKey(wrapping, wrapped, key);
    checkCommit(dataKey, key.commit, key.keyId);
    return dataKey;
  }

  #folder(orgId: string): string {
    return join(this.#options.directory, checkedOrg(orgId));
  }

  #noteOf({ orgId, subject, keyId }: KeyPlace): string {
    return join(this.#folder(orgId), `${subject}.${keyId}.erased.note`);
  }
}

/** A token of `tokenOf`, or the organisation. Names files. */
export const isSubject = (text: string): boolean => text === ORGANISATION || /^t1_[\w-]{22}$/.test(text);

function checkedOrg(orgId: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(orgId)) return orgId;
  throw new Failure({
    code: 'keys.subject-invalid',
    retry: 'no',
    message: `${JSON.stringify(orgId.slice(0, 80))} cannot name an organisation`,
  });
}

const draftOf = (subject: string): string => `${subject}.draft-${randomBytes(6).toString('hex')}`;

function bytesOf(key: SubjectKey, wrapped: Uint8Array): Buffer {
  const { commit, kek, keyId: key_id, madeAtMs: made_at, orgId: org, subject } = key;
  const file = {
    commit,
    kek,
    key_id,
    made_at,
    org,
    subject,
    v: 1,
    wrapped: Buffer.from(wrapped).toString('base64'),
  };
  return Buffer.from(`${JSON.stringify(file)}\n`);
}

const unusable = (subject: string): Failure =>
  new Failure({
    code: 'keys.subject-invalid',
    retry: 'no',
    message: `no key can be made for ${JSON.stringify(subject.slice(0, 80))}`,
    mend: 'A subject is a token, t1_ and 22 characters; and a key-encryption key must be named.',
  });
