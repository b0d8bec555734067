import type { KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Archive, type Bucket, DEPLOYMENT, Gateway, Keys, ORIGIN } from '../../../ledger/test/deployment.ts';

export { Archive, DEPLOYMENT, Gateway, Keys, ORIGIN };

/** A directory that goes when it is disposed of. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'cairn-evidence-'));

  file(name: string): string {
    return join(this.path, name);
  }

  write(name: string, bytes: Uint8Array | string): string {
    const path = this.file(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return path;
  }

  /** The bucket's objects as files below a folder of it. */
  writeBucket(folder: string, bucket: Bucket): string {
    for (const [name, bytes] of bucket) this.write(join(folder, name), bytes);
    return this.file(folder);
  }

  writeKey(name: string, key: KeyObject): string {
    return this.write(name, key.export({ type: 'pkcs8', format: 'pem' }) as string);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export interface World {
  readonly archive: Archive;
  readonly gateways: readonly Gateway[];
  /** Of the partition, in order. */
  readonly datums: readonly Uint8Array[];
}

/** Two gateways of one organisation and one of another, in turn, in segments of so many leaves; anchored. */
export function worldOf(calls: number, segmentLeaves: number): World {
  const gateways = [new Gateway('acme', 'gw-1'), new Gateway('acme', 'gw-2'), new Gateway('globex', 'gw-1')];
  const streams = gateways.map((gateway) => gateway.stream(calls));
  const datums = streams[0]!.flatMap((_, at) => streams.map((stream) => stream[at]!));
  const archive = new Archive(new Keys(...gateways));
  for (const [at, datum] of datums.entries()) {
    archive.append(datum);
    if (at % segmentLeaves === segmentLeaves - 1) archive.cut();
  }
  if (datums.length % segmentLeaves !== 0) archive.cut();
  const checkpoints = [...archive.bucket].filter(([name]) => name.startsWith('checkpoint/'));
  archive.anchor(...checkpoints.map(([, note]) => note));
  return { archive, gateways, datums };
}
