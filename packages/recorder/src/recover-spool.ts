import { join } from 'node:path';
import type { Disk } from './disk.ts';
import type { Finding } from './finding.ts';
import { type Damage, parseFileName, readSpoolBytes, type SpoolContent } from './spool-bytes.ts';
import { readCursor } from './spool-cursor.ts';

/** A file of the spool as it was found. */
export interface FoundFile {
  readonly name: string;
  readonly first: number;
  readonly priorEnd: number;
  /** Number after its last durable record. */
  readonly end: number;
  readonly bytes: number;
}

/** What was in the directory when it was opened. */
export interface RecoveredSpool {
  readonly files: readonly FoundFile[];
  /** First number not known to be sent. */
  readonly cursor: number;
  /** Number for the next record; nothing in the directory has it. */
  readonly next: number;
  /** There was no spool at all: a new installation, or a lost disk. */
  readonly fresh: boolean;
  /**
   * The newest files, oldest first, back to one whose head tells the state of all streams. Read in this order they
   * tell the last state.
   */
  readonly contents: readonly { readonly first: number; readonly content: SpoolContent }[];
  /** No head could be read, so a stream without records in `contents` is not known. */
  readonly headLost: boolean;
}

/**
 * Reads the newest end of a spool and cuts the torn tail off, so that the next start does not meet it again.
 * Older files are read when their records are sent.
 */
export async function recoverSpool(
  disk: Disk,
  directory: string,
  onFinding: (finding: Finding) => void,
): Promise<RecoveredSpool> {
  const cursor = await readCursor(disk, directory);
  const named = (await disk.list(directory)).flatMap((entry) => {
    const numbers = parseFileName(entry.name);
    return numbers === undefined ? [] : [{ ...entry, ...numbers }];
  });
  named.sort((a, b) => a.first - b.first);

  const contents: { first: number; content: SpoolContent }[] = [];
  const files: FoundFile[] = [];
  let headWanted = true;
  let next = cursor ?? 0;
  for (const [index, file] of named.entries().toArray().toReversed()) {
    const after = named[index + 1];
    let { bytes } = file;
    let end = after?.first ?? file.first;
    if (headWanted) {
      const path = join(directory, file.name);
      const content = readSpoolBytes(
        (await disk.read(path)) ?? new Uint8Array(),
        file.first,
        after?.priorEnd ?? cursor ?? 0,
      );
      for (const damage of content.damages) onFinding(findingOf(file.name, damage));
      bytes = await cutTorn(disk, path, bytes, content.damages);
      contents.unshift({ first: file.first, content });
      if (after === undefined) end = Math.max(file.first, (content.records.at(-1)?.number ?? -1) + 1);
      // After a failed write the file before may end in records that the head of this one does not count.
      headWanted = content.head === undefined || file.priorEnd < file.first;
    }
    next = Math.max(next, end, file.first + 1);
    files.unshift({ name: file.name, first: file.first, priorEnd: file.priorEnd, end, bytes });
  }
  return {
    files,
    cursor: cursor ?? named[0]?.first ?? 0,
    next,
    fresh: named.length === 0 && cursor === undefined,
    contents,
    headLost:
      contents.every(({ content }) => content.head === undefined) &&
      (named.length > 0 || cursor !== undefined),
  };
}

/** Syncs the file as well: what it ends with may have been written but not synced before the process was killed. */
async function cutTorn(disk: Disk, path: string, bytes: number, damages: readonly Damage[]): Promise<number> {
  const torn = damages.find((damage) => damage.what === 'torn');
  const kept = torn === undefined ? bytes : torn.bytes.from;
  const file = await disk.open(path);
  try {
    await file.cut(kept);
  } finally {
    await file.close();
  }
  return kept;
}

export function findingOf(file: string, { what, bytes, numbers }: Damage): Finding {
  const where = `bytes ${bytes.from} to ${bytes.to} of ${file}`;
  if (what === 'torn')
    return { code: 'spool.torn', file, message: `An interrupted write was cut: ${where}.` };
  if (numbers.from === numbers.to) {
    return { code: 'spool.damaged', file, message: `The head cannot be read: ${where}.` };
  }
  const records = `Records ${numbers.from} to ${numbers.to - 1}`;
  return bytes.from === bytes.to
    ? { code: 'spool.missing', file, message: `${records} are not where they should be, after ${file}.` }
    : { code: 'spool.damaged', file, message: `${records} cannot be read: ${where}.` };
}
