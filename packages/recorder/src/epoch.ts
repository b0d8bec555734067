import { join } from 'node:path';
import type { Disk } from './disk.ts';
import { replaceFile } from './replace-file.ts';

/*
 * File `epoch`: the epoch of the latest start, in digits and a line end. Durable before that start records anything.
 */

/**
 * Raises the epoch and resolves when the new one is durable. It is above the stored one and above any that the spool
 * has seen. Without a stored one it begins at the time in milliseconds: a gateway whose disk was lost then goes on
 * above its old epochs and cannot number a second event like one that was already sent.
 *
 * @param seen highest epoch in the spool, 0 when none
 */
export async function raiseEpoch(
  disk: Disk,
  directory: string,
  seen: number,
  nowMs: number,
): Promise<{ epoch: number; stored: boolean }> {
  const path = join(directory, 'epoch');
  const bytes = await disk.read(path);
  const text = bytes === undefined ? '' : Buffer.from(bytes).toString('latin1');
  const stored = /^\d{1,15}\n$/.test(text);
  const epoch = 1 + Math.max(stored ? Number(text) : Math.floor(nowMs), seen);
  await replaceFile(disk, path, Buffer.from(`${epoch}\n`, 'latin1'));
  return { epoch, stored };
}
