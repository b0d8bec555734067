import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openEvidence, originsOf, readKeys, readLeaves, walkLog } from '@cairn/archive';
import { entryOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { type TileFile, TileWriter } from '@cairn/ledger';
import type { CliConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import { readTrusted } from './trusted.ts';

export interface ExportOptions {
  readonly from: string;
  readonly root?: string;
  /** Origin of the log, or `<topic>/<partition>` of it; needed when there are several. */
  readonly log?: string;
}

/** `cairn export tlog DIR`: one log as C2SP tlog-tiles, for tools of others. Holds one segment and one bundle of entries. */
export async function exportTlog(
  output: Output,
  config: CliConfig,
  directory: string,
  options: ExportOptions,
): Promise<number> {
  const { rootKey } = await readTrusted(options, config.rootKey);
  await using evidence = await openEvidence(options.from, config.s3);
  const { history } = await readKeys(evidence, rootKey);
  const origin = chosen(await originsOf(evidence, history.deployment), options.log, history.deployment);
  await mkdir(directory, { recursive: true });
  if ((await readdir(directory)).length > 0) throw invalid(`${directory} is not empty`);
  // Files that wait to be written; they are few, since a segment is written before the next is read.
  let files: TileFile[] = [];
  const tiles = new TileWriter((file) => files.push(file));
  let checkpoint: Uint8Array | undefined;
  let size = 0;
  for await (const segment of walkLog(evidence, history, origin)) {
    await readLeaves(evidence, segment, (leaf) =>
      tiles.append(entryOf(leaf.schemaId, leaf.bytes.subarray(leaf.start, leaf.end)), leaf.hash),
    );
    await writeAll(directory, files);
    files = [];
    checkpoint = segment.checkpoint;
    size = segment.manifest.end;
  }
  if (checkpoint === undefined) throw invalid(`${origin} has no segment`);
  tiles.end();
  await writeAll(directory, files);
  // Last: what has no checkpoint is no log to other tools.
  await writeFile(join(directory, 'checkpoint'), checkpoint);
  const keys = history.keysAt('log', origin, size).map(({ vkey }) => vkey);
  output.value({ origin, size, directory, vkeys: keys });
  output.line(`${size} leaves of ${origin} are in ${directory}.`);
  for (const vkey of keys) output.line(`vkey ${vkey}`);
  return EXIT.ok;
}

async function writeAll(directory: string, files: readonly TileFile[]): Promise<void> {
  for (const { path, bytes } of files) {
    const file = join(directory, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, bytes);
  }
}

function chosen(origins: readonly string[], log: string | undefined, deployment: string): string {
  if (log !== undefined) {
    const origin = log.startsWith(`${deployment}/`) ? log : `${deployment}/${log}`;
    if (origins.includes(origin)) return origin;
    throw invalid(`there is no log ${origin}; there are: ${origins.join(', ') || 'none'}`);
  }
  if (origins.length === 1) return origins[0]!;
  throw invalid(`name one of the logs with --log: ${origins.join(', ') || 'there is none'}`);
}

const invalid = (message: string): Failure => new Failure({ code: 'config.invalid', retry: 'no', message });
