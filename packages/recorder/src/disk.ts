import * as fs from 'node:fs';
import { constants, type Dirent } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { lockDirectory } from './directory-lock.ts';

/**
 * What the recorder asks of a file system. The real one is below; tests put one in its place that fails before or
 * after the effect and forgets what was not synced.
 */
export interface Disk {
  /** Keeps every other recorder out of the directory until disposed or the process ends; fails when one is in it. */
  lock(directory: string): Disposable;
  /** Creates the directory and its parents, owner only; nothing happens when it is there. */
  makeDirectory(path: string): Promise<void>;
  /** The plain files in a directory. */
  list(path: string): Promise<{ readonly name: string; readonly bytes: number }[]>;
  /** The whole file, or `undefined` when there is none. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** A new file for appending, mode 0600; fails when the name is taken. */
  create(path: string): Promise<DiskFile>;
  /** The same, and what is appended is durable when `append` resolves, as if `sync` had followed. */
  createDurable(path: string): Promise<DiskFile>;
  /** An existing file, to be cut, or to be written over where it has bytes. */
  open(path: string): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; nothing happens when there is none. */
  remove(path: string): Promise<void>;
  /** Makes created, renamed and removed names durable. */
  syncDirectory(path: string): Promise<void>;
}

export interface DiskFile {
  /** Writes all of it at the end of the file. A rejection says nothing about how much was written. */
  append(bytes: Uint8Array): Promise<void>;
  /** What was appended is durable when this resolves. After a rejection the file must not be trusted again. */
  sync(): Promise<void>;
  /**
   * Writes over bytes that the file has, and leaves its length. They are durable when this resolves; after a rejection the old
   * ones, the new ones or a mixture may be there, and the file must not be trusted again.
   */
  overwrite(at: number, bytes: Uint8Array): Promise<void>;
  /** Cuts the file to this many bytes. */
  cut(bytes: number): Promise<void>;
  close(): Promise<void>;
}

const open = promisify(fs.open);
const close = promisify(fs.close);
const write = promisify(fs.write);
const ftruncate = promisify(fs.ftruncate);
const fdatasync = promisify(fs.fdatasync);
const fsync = promisify(fs.fsync);
const mkdir = promisify(fs.mkdir);
const readdir = promisify(fs.readdir) as (
  path: string,
  options: { withFileTypes: true },
) => Promise<Dirent[]>;
const readFile = promisify(fs.readFile);
const rename = promisify(fs.rename);
const stat = promisify(fs.stat);
const unlink = promisify(fs.unlink);

const NEW_FILE = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;

/** The file system of this machine. Plain descriptors and not `FileHandle`: every commit goes through them. */
export const realDisk: Disk = {
  lock: lockDirectory,
  makeDirectory: async (path) => {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  list: async (path) => {
    const found = await readdir(path, { withFileTypes: true });
    const files = found.filter((entry) => entry.isFile());
    return Promise.all(files.map(async ({ name }) => ({ name, bytes: (await stat(join(path, name))).size })));
  },
  read: async (path) => {
    try {
      return await readFile(path);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  },
  create: async (path) => fileOf(await open(path, NEW_FILE, 0o600), 0),
  // O_DSYNC (open(2)): each write is followed by what fdatasync does, and reports its errors. Between a write and a sync
  // of their own lies a turn of the event loop, and in a busy process that is the longer wait.
  createDurable: async (path) => fileOf(await open(path, NEW_FILE | constants.O_DSYNC, 0o600), 0),
  // Also O_DSYNC: bytes that are written over where blocks lie already need no journal, only the disk itself.
  open: async (path) =>
    fileOf(await open(path, constants.O_WRONLY | constants.O_DSYNC), (await stat(path)).size),
  rename: (from, to) => rename(from, to),
  remove: async (path) => {
    try {
      await unlink(path);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
  },
  syncDirectory: async (path) => {
    const descriptor = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await fsync(descriptor);
    } finally {
      await close(descriptor);
    }
  },
};

/** @param end the file's length, where the next byte goes. */
function fileOf(descriptor: number, end: number): DiskFile {
  const writeAt = async (place: number, bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await write(descriptor, bytes, at, bytes.length - at, place + at);
      at += bytesWritten;
      end = Math.max(end, place + at);
    }
  };
  return {
    append: (bytes) => writeAt(end, bytes),
    overwrite: writeAt,
    sync: () => fdatasync(descriptor),
    cut: async (bytes) => {
      await ftruncate(descriptor, bytes);
      await fdatasync(descriptor);
      end = bytes;
    },
    close: () => close(descriptor),
  };
}

/** True for an error of the operating system with this code. */
export function isErrno(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code;
}
