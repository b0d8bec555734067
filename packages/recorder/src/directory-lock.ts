import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Failure } from '@cairn/failure';

/**
 * Takes the recorder's directory for this process, or fails with `recorder.locked`. Two recorders in one directory
 * would number two events alike.
 *
 * The lock is the kernel's own (fcntl, taken through an empty SQLite file, since Node has no flock): it goes with the
 * process, also by kill -9, so there is no stale lock to judge and no race in taking one over. A pid in a file would
 * need both, and means nothing between containers that share a volume.
 */
export function lockDirectory(directory: string): Disposable {
  const path = join(directory, 'lock');
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = OFF; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw new Failure({
      code: 'recorder.locked',
      retry: 'later',
      message: `The directory ${directory} is in use by another recorder.`,
      mend: 'Give each gateway process its own directory, or stop the other process.',
      cause,
    });
  }
  return { [Symbol.dispose]: () => database.close() };
}
