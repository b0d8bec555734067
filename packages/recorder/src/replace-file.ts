import { dirname } from 'node:path';
import type { Disk } from './disk.ts';

/**
 * Puts a small file in the place of another, so that after a crash the one or the other is there, whole. Resolves
 * when the new one is durable.
 *
 * 1 write and sync a file beside it; 2 rename it over the old one; 3 sync the directory. After 2 readers see the new
 * file; before 3 a power cut may bring the old one back.
 */
export async function replaceFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const beside = `${path}.new`;
  await disk.remove(beside);
  const file = await disk.create(beside);
  try {
    await file.append(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(beside, path);
  await disk.syncDirectory(dirname(path));
}
