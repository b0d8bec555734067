import type { EventLog } from '../src/index.ts';

/** What an append does instead of succeeding: nothing, some or all of it arrives before the caller is told of an error. */
export type LogFault = 'before' | 'part' | 'after';

/**
 * A log in memory that breaks the test when two appends to one partition are under way, or a batch is too large.
 * `fault` is asked before every append.
 */
export class MemoryLog {
  readonly partitions = new Map<string, Uint8Array[]>();
  fault: () => LogFault | undefined = () => undefined;
  /** Appends wait here while it is set. */
  gate: Promise<void> | undefined;
  readonly misuse: string[] = [];
  appends = 0;
  readonly #busy = new Set<string>();

  /** The log as one process sees it; it reaches nothing once that process is gone. */
  session(gone: () => boolean = () => false): EventLog {
    return {
      append: async (topic, partition, values) => {
        const key = `${topic}/${partition}`;
        if (gone()) throw new Error('the process is gone');
        if (this.#busy.has(key)) this.misuse.push(`two appends to ${key}`);
        const bytes = values.reduce((sum, value) => sum + value.length, 0);
        if (values.length === 0 || values.length > 1000 || bytes > 600 * 1024)
          this.misuse.push(`a batch of ${bytes}`);
        this.#busy.add(key);
        try {
          await (this.gate ?? Promise.resolve());
          if (gone()) throw new Error('the process is gone');
          this.appends += 1;
          const fault = this.fault();
          const kept =
            fault === 'before' ? [] : fault === 'part' ? values.slice(0, values.length >> 1) : values;
          const stored = this.partitions.get(key) ?? [];
          this.partitions.set(key, stored);
          for (const value of kept) stored.push(Buffer.from(value));
          if (fault !== undefined) throw new Error(`the line broke (${fault})`);
        } finally {
          this.#busy.delete(key);
        }
      },
    };
  }

  get size(): number {
    return [...this.partitions.values()].reduce((sum, values) => sum + values.length, 0);
  }
}
