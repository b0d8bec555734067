// The keys of a deployment under test, and the history that states them, signed by a root key.
import { createPrivateKey, hash, type KeyObject } from 'node:crypto';
import type { ObjectStore } from '@cairn/adapters';
import {
  anchorOrigin,
  KeyHistory,
  type KeyRole,
  keyName,
  type NoteKey,
  type NoteSigner,
  noteSignerOf,
  rootKeyName,
  signKeyStatement,
} from '@cairn/ledger';
import { type SigningKeys, signingKeysOf } from '../src/signing-keys.ts';

export function privateKeyOf(word: string): KeyObject {
  const seed = hash('sha256', Buffer.from(word), 'buffer');
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

export function signerOf(name: string, word = name): NoteSigner {
  return noteSignerOf(name, privateKeyOf(word));
}

export class DeploymentKeys {
  readonly deployment: string;
  readonly root: NoteSigner;
  readonly signing: SigningKeys;
  readonly notes: Uint8Array[] = [];
  readonly #history: KeyHistory;

  constructor(deployment: string, origins: readonly string[], signing?: SigningKeys) {
    this.deployment = deployment;
    this.root = signerOf(rootKeyName(deployment));
    this.signing =
      signing ??
      signingKeysOf(
        { log: privateKeyOf('log'), archive: privateKeyOf('archive'), anchor: privateKeyOf('anchor') },
        deployment,
      );
    this.#history = new KeyHistory(deployment);
    for (const origin of origins) {
      this.state('log', origin, this.signing.log(origin).key);
      this.state('archive', origin, this.signing.archive.key);
    }
    this.state('anchor', anchorOrigin(deployment), this.signing.anchor.key);
  }

  state(role: KeyRole, subject: string, { vkey }: Pick<NoteKey, 'vkey'>): void {
    const { number, previous } = this.#history.next;
    const note = signKeyStatement(
      { from: 0, kind: 'cairn/key', number, previous, reason: '', role, subject, until: null, v: 1, vkey },
      this.root,
    );
    this.#history.add(note, this.root.key);
    this.notes.push(note);
  }

  /** Puts what was stated since the last time. */
  async store(store: Pick<ObjectStore, 'putLocked'>, retainUntil: Date): Promise<void> {
    for (const [number, note] of this.notes.entries())
      await store.putLocked(keyName(number), note, { mode: 'COMPLIANCE', retainUntil });
  }
}
