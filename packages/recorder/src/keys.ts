import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { Failure } from '@cairn/failure';
import { gatewayKeyName, noteSignerOf } from '@cairn/ledger';
import type { Disk } from './disk.ts';
import { replaceFile } from './replace-file.ts';

/** The Ed25519 key of one organisation's streams on this gateway. */
export interface StreamKey {
  /** Signed-note verifier key, `<deployment>/<org>/gw/<gateway>+<id>+<base64>`; not secret. */
  readonly vkey: string;
  /** 8 hex digits, as in the verifier key. */
  readonly keyId: string;
  readonly privateKey: KeyObject;
}

/** Organisation ids name files, keys and logs, so their form is narrow. */
const ORG_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/**
 * The keys in `<directory>/keys`: `<org>.pem` (PKCS #8, mode 0600) and beside it `<org>.vkey`, the line to give to
 * whoever verifies. A key is made at first use and is durable before it signs.
 */
export class StreamKeys {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #deployment: string;
  readonly #gatewayId: string;
  readonly #keys = new Map<string, StreamKey>();

  private constructor(disk: Disk, directory: string, deployment: string, gatewayId: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#deployment = deployment;
    this.#gatewayId = gatewayId;
  }

  /** Reads the keys that are there. */
  static async open(
    disk: Disk,
    directory: string,
    deployment: string,
    gatewayId: string,
  ): Promise<StreamKeys> {
    await disk.makeDirectory(directory);
    const keys = new StreamKeys(disk, directory, deployment, gatewayId);
    for (const { name } of await disk.list(directory)) {
      if (name.endsWith('.pem')) await keys.#load(name.slice(0, -'.pem'.length));
    }
    return keys;
  }

  /** Organisations that have a key. */
  get orgIds(): readonly string[] {
    return [...this.#keys.keys()];
  }

  get(orgId: string): StreamKey | undefined {
    return this.#keys.get(orgId);
  }

  async getOrCreate(orgId: string): Promise<StreamKey> {
    return this.#keys.get(orgId) ?? (await this.#create(orgId));
  }

  async #load(orgId: string): Promise<void> {
    const path = join(this.#directory, `${orgId}.pem`);
    const pem = await this.#disk.read(path);
    try {
      this.#keys.set(orgId, this.#keyOf(orgId, createPrivateKey(Buffer.from(pem!))));
    } catch (cause) {
      throw new Failure({
        code: 'recorder.key-unreadable',
        retry: 'no',
        message: `The signing key ${path} cannot be read.`,
        mend: 'Restore it from a backup. Moving it away makes a new key, which verifiers must then be told.',
        cause,
      });
    }
  }

  async #create(orgId: string): Promise<StreamKey> {
    const { privateKey } = generateKeyPairSync('ed25519');
    const key = this.#keyOf(orgId, privateKey);
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    // The public half first: a crash in between leaves a verifier key that nothing was signed with.
    await replaceFile(this.#disk, join(this.#directory, `${orgId}.vkey`), Buffer.from(`${key.vkey}\n`));
    await replaceFile(this.#disk, join(this.#directory, `${orgId}.pem`), Buffer.from(pem));
    this.#keys.set(orgId, key);
    return key;
  }

  #keyOf(orgId: string, privateKey: KeyObject): StreamKey {
    const { key } = noteSignerOf(gatewayKeyName(this.#deployment, orgId, this.#gatewayId), privateKey);
    return { ...key, privateKey };
  }
}

export const isOrgId = (orgId: string): boolean => ORG_ID.test(orgId);

/** Refuses an organisation id that cannot name a file, a key and a log. */
export function checkOrgId(orgId: string): void {
  if (isOrgId(orgId)) return;
  throw new Failure({
    code: 'event.invalid',
    retry: 'no',
    message: `org_id ${JSON.stringify(orgId.slice(0, 80))} is not of the form ${ORG_ID.source}.`,
  });
}
