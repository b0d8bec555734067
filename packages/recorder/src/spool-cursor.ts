import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Disk } from './disk.ts';
import { replaceFile } from './replace-file.ts';

/*
 * File `cursor`: the number of the first record that is not known to be sent, and the CRC-32 of that number's digits,
 * as one line of text: `1234 9be3e0a3\n`.
 */

/** The stored cursor; undefined when there is none or it cannot be read, then sending starts at the oldest record. */
export async function readCursor(disk: Disk, directory: string): Promise<number | undefined> {
  const bytes = await disk.read(join(directory, 'cursor'));
  if (bytes === undefined) return undefined;
  const [digits, sum] = Buffer.from(bytes).toString('latin1').trimEnd().split(' ');
  return digits !== undefined && sum === sumOf(digits) ? Number(digits) : undefined;
}

export function writeCursor(disk: Disk, directory: string, next: number): Promise<void> {
  const digits = String(next);
  return replaceFile(disk, join(directory, 'cursor'), Buffer.from(`${digits} ${sumOf(digits)}\n`, 'latin1'));
}

function sumOf(digits: string): string {
  return crc32(digits).toString(16).padStart(8, '0');
}
