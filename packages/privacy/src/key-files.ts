import { link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';

/** What the store of subjects' keys needs of a file system. Tests fail each of them, before its effect and after. */
export interface KeyFiles {
  makeDirectory(path: string): Promise<void>;
  /** Names, in no order; none where no directory is. */
  list(directory: string): Promise<string[]>;
  /** Undefined where no file is. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** A new file, mode 0600; durable when it resolves, its name not yet. */
  create(path: string, bytes: Uint8Array): Promise<void>;
  /** A second name for a file, never in the place of another. */
  link(from: string, to: string): Promise<'linked' | 'exists'>;
  /** Gives a file another name, in the place of another if need be; false where no file is. */
  rename(from: string, to: string): Promise<boolean>;
  /** Zeros in the place of every byte, durable when it resolves. Nothing where no file is. */
  overwrite(path: string): Promise<void>;
  /** Nothing where no file is. */
  remove(path: string): Promise<void>;
  /** Names in it are durable when it resolves. */
  syncDirectory(path: string): Promise<void>;
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

export const realKeyFiles: KeyFiles = {
  makeDirectory: async (path) => void (await mkdir(path, { recursive: true, mode: 0o700 })),
  list: (directory) =>
    readdir(directory).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }),
  read: (path) =>
    readFile(path).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }),
  async create(path, bytes) {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  async link(from, to) {
    try {
      await link(from, to);
      return 'linked';
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return 'exists';
      throw error;
    }
  },
  async rename(from, to) {
    try {
      await rename(from, to);
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
  },
  async overwrite(path) {
    let file: Awaited<ReturnType<typeof open>>;
    try {
      file = await open(path, 'r+');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      throw error;
    }
    try {
      const { size } = await file.stat();
      await file.write(Buffer.alloc(size), 0, size, 0);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  remove: (path) => rm(path, { force: true }),
  async syncDirectory(path) {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
};
