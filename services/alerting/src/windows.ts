import type { Micros, WindowAddition, WindowView } from '@cairn/rules';

/** A batch of one partition, as it is counted. */
export interface CountedBatch {
  /** The offset that must have been counted last; undefined for none. */
  readonly expected: number | undefined;
  /** The last offset of this batch. */
  readonly last: number;
  /**
   * The earliest time of an event that is not committed: cells that windows from there on need are kept, so that their firings
   * are found again.
   */
  readonly oldest: Micros;
  /** Streams that went on, and how far. */
  readonly streams: ReadonlyMap<string, string>;
  readonly additions: readonly WindowAddition[];
}

/** Firings of one window that follow each other within its timespan, as the episodes take them in. */
export interface EpisodeFirings {
  /** The window's key. */
  readonly window: string;
  /** When each ends, ascending; at least one. */
  readonly ends: readonly Micros[];
  /** An episode goes on with a firing that ends at most so long after its last one. */
  readonly timespan: Micros;
  /** The highest of theirs. */
  readonly measure: number;
  /** What will be told of the alert, should the first of these open it: JSON. */
  readonly facts: () => string;
  /** This was told before the store lost its memory. */
  readonly told: boolean;
}

/** Firings that belong together: one alert. */
export interface EpisodeState {
  readonly window: string;
  /** End of its first firing: with the window, what the alert is known by. */
  readonly since: Micros;
  readonly until: Micros;
  readonly peak: number;
  readonly firings: number;
  /** Its alert is on disk. */
  readonly told: boolean;
  readonly facts: string;
}

/** A window whose time is over. */
export interface ClosingWindow {
  readonly view: WindowView;
  /** When its earliest part ended that was not judged yet. */
  readonly endedAt: Micros;
}

/** Where windows are kept, for all instances together. */
export interface Windows {
  /** Takes a partition over: whoever had it before is heard no more. */
  take(partition: string): Promise<PartitionWindows>;
}

/**
 * Windows as the owner of a partition sees them. Each method is one step: applied whole or not at all, and after a rejection
 * nobody knows which. Everything but `add` may be repeated and then changes nothing. Each rejects with a Failure
 * `windows.fenced` (yes), and has changed nothing, when another took the partition over or the store lost what it knew.
 */
export interface PartitionWindows {
  /** The last offset that was counted when the partition was taken over; undefined when nothing was known of it. */
  readonly offset: number | undefined;
  /** The latest event of each stream that was counted by then, as `<epoch> <seq>`, by the stream's name. */
  readonly streams: ReadonlyMap<string, string>;
  /** Episodes are known of everything that is committed: the windows were not lost, or were made again to the end. */
  readonly isWhole: boolean;
  markWhole(): Promise<void>;
  /**
   * Merges a batch's additions and moves the partition's offset, together. @returns the windows whose counts reach the floor,
   * as they then stand, in no order.
   *
   * @throws Failure `windows.moved` (yes) when another offset was counted last: nothing was changed.
   */
  add(batch: CountedBatch): Promise<WindowView[]>;
  /** The same windows as they stand, changing nothing. */
  look(additions: readonly WindowAddition[]): Promise<WindowView[]>;
  /** Merges additions of chained correlations, whose `merge` is `set`. */
  set(additions: readonly WindowAddition[]): Promise<WindowView[]>;
  /**
   * Takes firings into their episodes, in this order; this partition looks after their ends. Several calls may be several
   * steps.
   *
   * @returns the episode that each of these went on with or began, as it then stands.
   */
  continueEpisodes(firings: readonly EpisodeFirings[]): Promise<EpisodeState[]>;
  /** Their alerts are on disk. */
  markTold(episodes: readonly Pick<EpisodeState, 'window' | 'since'>[]): Promise<void>;
  /** Episodes that can no longer go on: whose last firing was a timespan and the lateness before this instant. */
  ending(upTo: Micros, most: number): Promise<EpisodeState[]>;
  /**
   * Episodes have ended, and that is on disk; those that went on meanwhile stay. A firing of one that is found again, by whoever
   * reads the same records again, still finds it and begins no other.
   */
  close(episodes: readonly Pick<EpisodeState, 'window' | 'since' | 'until'>[]): Promise<void>;
  /** Windows that are judged at their close and had ended by this instant. */
  closing(upTo: Micros, most: number): Promise<ClosingWindow[]>;
  /** What had ended of these windows by this instant was judged. */
  closed(windows: readonly ClosedWindow[], upTo: Micros): Promise<void>;
}

/** A window of which a part was judged that is over. */
export interface ClosedWindow {
  /** Its key. */
  readonly window: string;
  /** When its next part ends, if it has one. */
  readonly next: Micros | undefined;
}
