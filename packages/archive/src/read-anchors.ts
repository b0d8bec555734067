import {
  type AnchorsReport,
  AnchorsVerifier,
  type KeyHistory,
  KnownTree,
  noteLeafHash,
  notesOfRound,
  parseObjectName,
  ROUND_BYTES_MAX,
} from '@cairn/ledger';
import type { Evidence } from './evidence.ts';
import { disturbanceOf, NOTE_BYTES_MAX, readAhead } from './read-ahead.ts';

/** The anchor log as it is needed for proofs. */
export interface AnchorLog {
  readonly report: AnchorsReport;
  /** Of its entries. */
  readonly tree: KnownTree;
  /** Timestamps and cosignatures by the size of their anchor checkpoint. */
  readonly beside: ReadonlyMap<number, readonly string[]>;
}

/**
 * Reads an anchor log, and when it is asked again only what was added to it: a round every ten minutes is 50,000 of them in a
 * year. One reading at a time; one that failed in its midst goes on there.
 */
export class AnchorLogReader {
  readonly #evidence: Pick<Evidence, 'list' | 'read'>;
  readonly #verifier: AnchorsVerifier;
  readonly #tree = new KnownTree();
  /** Names of the last checkpoint and the last entries that were read. */
  #checkpoint = '';
  #entries = '';
  /** Entries that were read. */
  #end = 0;

  constructor(evidence: Pick<Evidence, 'list' | 'read'>, history: KeyHistory) {
    this.#evidence = evidence;
    this.#verifier = new AnchorsVerifier(history);
  }

  /** The log, verified; what it has of each log. */
  async report(): Promise<AnchorsReport> {
    const checkpoints = readAhead(
      this.#evidence,
      'anchor/checkpoint/',
      NOTE_BYTES_MAX,
      (name) => name > this.#checkpoint,
    );
    for await (const object of checkpoints) {
      this.#checkpoint = object.name;
      const parsed = parseObjectName(object.name);
      if (parsed?.kind !== 'anchor-checkpoint') continue;
      this.#verifier.addCheckpoint(parsed.size, object.bytes);
      if (object.disturbed !== undefined) this.#verifier.find(disturbanceOf(object, parsed.size));
    }
    const rounds = readAhead(
      this.#evidence,
      'anchor/entries/',
      ROUND_BYTES_MAX,
      (name) => name > this.#entries,
    );
    for await (const { name, bytes, disturbed } of rounds) {
      this.#entries = name;
      const parsed = parseObjectName(name);
      if (parsed?.kind !== 'anchor-entries') continue;
      if (disturbed !== undefined) this.#verifier.find(disturbanceOf({ name, disturbed }, parsed.first));
      this.#verifier.addEntries(parsed.first, bytes);
      const hashes = notesIn(bytes).map(noteLeafHash);
      this.#tree.addLeaves(this.#end, hashes);
      this.#end += hashes.length;
    }
    return this.#verifier.end();
  }

  /** The log and what lies beside it. */
  async read(): Promise<AnchorLog> {
    const report = await this.report();
    const beside = new Map<number, string[]>();
    for (const prefix of ['anchor/cosigned/', 'anchor/timestamp/']) {
      for await (const { name } of this.#evidence.list(prefix)) {
        const parsed = parseObjectName(name);
        if (parsed?.kind !== 'cosigned' && parsed?.kind !== 'timestamp') continue;
        beside.set(parsed.size, [...(beside.get(parsed.size) ?? []), name]);
      }
    }
    return { report, tree: this.#tree, beside };
  }
}

/** None of a round that is none; the verifier has said so. */
function notesIn(bundle: Uint8Array): Uint8Array[] {
  try {
    return notesOfRound(bundle);
  } catch (error) {
    if (error instanceof RangeError) return [];
    throw error;
  }
}
