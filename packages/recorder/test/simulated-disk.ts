import { basename, dirname } from 'node:path';
import type { Disk, DiskFile } from '../src/disk.ts';

/**
 * What a call does instead of succeeding: it fails before or after its effect, it arrives in part, the process is
 * killed before or after it, or the power goes after it.
 */
export type Fault = 'before' | 'after' | 'part' | 'killed-before' | 'killed-after' | 'power';
export type Operation =
  | 'create'
  | 'append'
  | 'overwrite'
  | 'sync'
  | 'cut'
  | 'rename'
  | 'remove'
  | 'syncDirectory';

/** Asked before every call that changes the disk. */
export type FaultPlan = (operation: Operation, path: string) => Fault | undefined;

interface Inode {
  /** What readers see. */
  written: Buffer;
  /** What a power cut leaves for certain. */
  durable: Buffer;
  /** Ranges that a failed sync dropped: readable until the power goes, and never written by a later sync. */
  dropped: { from: number; to: number }[];
  /** Ranges of durable bytes that were written over and not synced, and those whose sync failed: the old bytes stay on disk. */
  over: { from: number; to: number }[];
  droppedOver: { from: number; to: number }[];
}

type Names = Map<string, Inode>;

/** Thrown by every call of a process that was stopped. */
export class Stopped extends Error {}

/**
 * A disk with a page cache, that can be made to fail before or after the effect, and to lose what was not synced.
 * After a failed sync it behaves like Linux: the pages count as clean, so a second sync succeeds and writes nothing.
 *
 * It is strict: opening a file that is not there, or creating one that is, breaks the caller as the real one does.
 */
export class SimulatedDisk {
  #names: Names = new Map();
  #durableNames: Names = new Map();
  /** Changes of names that are not synced, in order. */
  #pending: { directory: string; apply: (names: Names) => void }[] = [];
  #locked = false;
  #life = 0;
  plan: FaultPlan = () => undefined;
  /** Decides what a power cut leaves. */
  random: () => number = () => 0.5;
  /** Every call that changed something or was asked to, for messages. */
  readonly calls: string[] = [];

  /** The process is gone, the machine goes on: everything written stays. */
  kill(): void {
    this.#life += 1;
    this.#locked = false;
  }

  /** The power is gone: of what was not synced, a part that `random` chooses remains. */
  cutPower(random = this.random): void {
    this.kill();
    const kept = this.#pending.slice(0, Math.floor(random() * (this.#pending.length + 1)));
    for (const { apply } of kept) apply(this.#durableNames);
    this.#pending = [];
    this.#names = new Map();
    for (const [path, inode] of this.#durableNames) {
      const content = afterPowerCut(inode, random);
      const copy = { written: content, durable: content, dropped: [], over: [], droppedOver: [] };
      this.#names.set(path, copy);
      this.#durableNames.set(path, copy);
    }
  }

  /** Changes the bits of `mask` in one byte of a file, as a failing disk does. */
  flip(path: string, at: number, mask = 0x55): void {
    const inode = this.#inodeOf(path);
    for (const bytes of new Set([inode.written, inode.durable])) {
      if (at < bytes.length) bytes[at] = bytes[at]! ^ mask;
    }
  }

  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  sizeOf(path: string): number {
    return this.#inodeOf(path).written.length;
  }

  /** The disk as one process sees it. Its calls fail for ever once the process was stopped, killed or lost power. */
  session(): Disk & { readonly stopped: () => boolean } {
    const life = this.#life;
    const stopped = () => life !== this.#life;
    const run = async <T>(operation: Operation, path: string, effect: (part: boolean) => T): Promise<T> => {
      await Promise.resolve();
      if (stopped()) throw new Stopped();
      const fault = this.plan(operation, path);
      this.calls.push(`${operation} ${basename(path)}${fault === undefined ? '' : ` !${fault}`}`);
      if (fault === 'killed-before') {
        this.kill();
        throw new Stopped();
      }
      if (fault === 'before') {
        if (operation === 'sync') this.#drop(path);
        throw ioError(operation, path);
      }
      const value = effect(fault === 'part');
      if (fault === 'killed-after') this.kill();
      if (fault === 'power') this.cutPower();
      if (stopped()) throw new Stopped();
      if (fault !== undefined) throw ioError(operation, path);
      return value;
    };
    const read = async <T>(effect: () => T): Promise<T> => {
      await Promise.resolve();
      if (stopped()) throw new Stopped();
      return effect();
    };
    const fileOf = (path: string, inode: Inode): DiskFile => ({
      append: (bytes) =>
        run('append', path, (part) => {
          const kept = part ? bytes.subarray(0, bytes.length >> 1) : bytes;
          inode.written = Buffer.concat([inode.written, kept]);
        }),
      overwrite: async (at, bytes) => {
        await run('overwrite', path, (part) => {
          const kept = part ? bytes.subarray(0, bytes.length >> 1) : bytes;
          if (at + bytes.length > inode.durable.length) throw new Error(`nothing to write over in ${path}`);
          inode.written = Buffer.from(inode.written);
          inode.written.set(kept, at);
          inode.over.push({ from: at, to: at + kept.length });
        });
        await run('sync', path, () => syncInode(inode));
      },
      sync: () => run('sync', path, () => syncInode(inode)),
      cut: (bytes) =>
        run('cut', path, () => {
          inode.written = Buffer.from(inode.written.subarray(0, bytes));
          inode.dropped = inode.dropped.filter(({ from }) => from < bytes);
          inode.droppedOver = inode.droppedOver.filter(({ to }) => to <= bytes);
          syncInode(inode);
        }),
      close: () => read(() => {}),
    });
    const create = (path: string): Promise<DiskFile> =>
      run('create', path, () => {
        if (this.#names.has(path)) throw ioError('create', path, 'EEXIST');
        const inode: Inode = {
          written: Buffer.alloc(0),
          durable: Buffer.alloc(0),
          dropped: [],
          over: [],
          droppedOver: [],
        };
        this.#change(dirname(path), (names) => names.set(path, inode));
        return fileOf(path, inode);
      });
    return {
      stopped,
      lock: () => {
        if (this.#locked) throw new Error('The directory is in use by another recorder.');
        this.#locked = true;
        return {
          [Symbol.dispose]: () => {
            if (!stopped()) this.#locked = false;
          },
        };
      },
      makeDirectory: () => read(() => {}),
      list: (path) =>
        read(() => {
          const found = [...this.#names].filter(([name]) => dirname(name) === path);
          return found.map(([name, inode]) => ({ name: basename(name), bytes: inode.written.length }));
        }),
      read: (path) =>
        read(() => {
          const inode = this.#names.get(path);
          return inode === undefined ? undefined : Buffer.from(inode.written);
        }),
      create,
      createDurable: async (path) => {
        const file = await create(path);
        // Written and not yet durable is a state that a crash can find, as between a write and a sync of their own.
        const append = async (bytes: Uint8Array): Promise<void> => {
          await file.append(bytes);
          await file.sync();
        };
        return { ...file, append };
      },
      open: (path) => read(() => fileOf(path, this.#inodeOf(path))),
      rename: (from, to) =>
        run('rename', to, () => {
          const inode = this.#inodeOf(from);
          this.#change(dirname(to), (names) => {
            names.delete(from);
            names.set(to, inode);
          });
        }),
      remove: (path) =>
        run('remove', path, () => {
          if (this.#names.has(path)) this.#change(dirname(path), (names) => names.delete(path));
        }),
      syncDirectory: (path) =>
        run('syncDirectory', path, () => {
          for (const change of this.#pending) if (change.directory === path) change.apply(this.#durableNames);
          this.#pending = this.#pending.filter((change) => change.directory !== path);
        }),
    };
  }

  #change(directory: string, apply: (names: Names) => void): void {
    apply(this.#names);
    this.#pending.push({ directory, apply });
  }

  #drop(path: string): void {
    const inode = this.#names.get(path);
    if (inode === undefined) return;
    inode.dropped.push({ from: inode.durable.length, to: inode.written.length });
    inode.droppedOver.push(...inode.over);
    inode.over = [];
  }

  #inodeOf(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw ioError('open', path, 'ENOENT');
    return inode;
  }
}

function syncInode(inode: Inode): void {
  const content = Buffer.from(inode.written);
  for (const { from, to } of inode.dropped) content.fill(0, from, to);
  for (const { from, to } of inode.droppedOver) content.set(inode.durable.subarray(from, to), from);
  inode.durable = content;
  inode.over = [];
}

/**
 * The synced bytes, and of the rest a prefix of which some blocks never arrived. What was written over is there, or as before, or
 * in part and then spoiled.
 */
function afterPowerCut(inode: Inode, random: () => number): Buffer {
  const certain = inode.durable.length;
  const end = certain + Math.floor(random() * (Math.max(inode.written.length, certain) - certain + 1));
  const content = Buffer.concat([inode.durable, inode.written.subarray(certain, end)]);
  for (let at = certain; at < end; at += 512)
    if (random() < 0.2) content.fill(0, at, Math.min(at + 512, end));
  for (const { from, to } of inode.over) {
    const torn = from + Math.floor(random() * (to - from + 1));
    const fate = random();
    if (fate < 0.6) content.set(inode.written.subarray(from, fate < 0.3 ? to : torn), from);
    if (fate >= 0.3 && fate < 0.5) content.fill(0, torn, to);
  }
  return content;
}

function ioError(operation: string, path: string, code = 'EIO'): Error {
  return Object.assign(new Error(`${code}: ${operation} ${path}`), { code });
}
