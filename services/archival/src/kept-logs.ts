import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CompactRange, hexOfHash } from '@cairn/ledger';
import { z } from 'zod';
import { folderOf } from './read-manifests.ts';

const count = z.number().int();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** One of the latest epochs of a stream, as manifests say it. */
const keptEpoch = z.strictObject({
  epoch: count,
  /** The greatest number that ends a segment, and the leaf hash there, hex. */
  seq: count,
  head: z.string(),
  segments: z.array(z.strictObject({ first: count, events: count })),
});
export type KeptEpoch = z.infer<typeof keptEpoch>;

const keptWatch = z.strictObject({
  org: z.string(),
  gateway: z.string(),
  epoch: count,
  seq: count,
  head: sha256,
  unsealed: count,
  closed: z.boolean(),
  received_at: count,
});
export type KeptWatch = z.infer<typeof keptWatch>;

const keptLog = z.strictObject({
  v: z.literal(1),
  origin: z.string(),
  /** Leaves; the root of their checkpoint, the nodes that lead to it. */
  size: count.positive(),
  root: sha256,
  nodes: z.array(sha256).max(64),
  /** First leaf of the manifest that ends at `size`, and the SHA-256 of its note. */
  last: count,
  previous: sha256,
  /** By `streamKey`. */
  streams: z.array(z.tuple([z.string(), z.array(keptEpoch)])),
  watches: z.array(keptWatch),
});

/**
 * What the manifests of a log came to, up to one of its checkpoints: kept beside archival's keys, so that a log is opened
 * without reading all that it ever wrote. Whoever may write there holds the keys of the log as well. It is only believed when
 * its nodes lead to the checkpoint that the archive has; without it everything is read.
 */
export type KeptLog = z.infer<typeof keptLog>;

export interface KeptLogs {
  /** Undefined when there is none, or none that can be read. */
  read(origin: string): Promise<KeptLog | undefined>;
  keep(log: KeptLog): Promise<void>;
}

/** In a directory, one file for each log. */
export function keptLogsIn(directory: string): KeptLogs {
  const fileOf = (origin: string): string => join(directory, `${folderOf(origin).replaceAll('/', '-')}.json`);
  return {
    async read(origin) {
      try {
        const log = keptLog.parse(JSON.parse(await readFile(fileOf(origin), 'utf8')));
        return log.origin === origin ? log : undefined;
      } catch {
        return undefined;
      }
    },
    async keep(log) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const beside = `${fileOf(log.origin)}.new`;
      await writeFile(beside, JSON.stringify(log), { mode: 0o600 });
      await rename(beside, fileOf(log.origin));
    },
  };
}

/** Whether these nodes lead to the root that was kept with them. */
export const leadsTo = (tree: CompactRange, { size, root }: KeptLog): boolean =>
  tree.end === size && hexOfHash(tree.root()) === root;
