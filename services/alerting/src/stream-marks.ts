/**
 * How far each stream of a partition was counted, so that what a gateway sends twice counts once. Beside the windows a mark is
 *
 *     <epoch> <seq> <offset> <epoch before> <seq before>
 *
 * the stream's latest event that was counted, the last offset of the batch that moved it there, and where it stood before: what
 * was counted and not committed is looked at again, and then it must be known what had been there before that.
 */
export class StreamMarks {
  readonly #marks = new Map<string, Mark>();
  /** Positions behind what was folded and need not be counted yet. */
  readonly #ahead = new Map<string, Position>();
  /** Positions for records that are looked at again. */
  readonly #again = new Map<string, Position>();

  /**
   * @param told first offset that is not committed; undefined where the windows are made again, from before all that is known
   *   here.
   */
  constructor(texts: ReadonlyMap<string, string>, told: number | undefined) {
    for (const [stream, text] of texts) {
      const [epoch = 0, seq = 0, offset = 0, epochBefore = -1, seqBefore = -1] = text.split(' ').map(Number);
      const mark = { at: { epoch, seq }, offset, before: { epoch: epochBefore, seq: seqBefore } };
      this.#marks.set(stream, mark);
      if (told !== undefined) this.#again.set(stream, offset >= told ? mark.before : mark.at);
    }
  }

  /** Where a stream stands for what is folded next. @param isAgain for records that were counted before. */
  known(stream: string, isAgain: boolean): Position | undefined {
    if (isAgain) return this.#again.get(stream);
    return this.#ahead.get(stream) ?? this.#marks.get(stream)?.at;
  }

  /** Records were folded, and moved these streams. */
  folded(streams: ReadonlyMap<string, Position>, isAgain: boolean): void {
    const positions = isAgain ? this.#again : this.#ahead;
    for (const [stream, position] of streams) positions.set(stream, position);
  }

  /**
   * What to keep when a batch is counted.
   *
   * @param committed first offset that is not committed now.
   */
  textsOf(streams: ReadonlyMap<string, Position>, last: number, committed: number): Map<string, string> {
    return new Map(
      [...streams].map(([stream, { epoch, seq }]) => {
        const { before } = this.#moved(stream, committed);
        return [stream, `${epoch} ${seq} ${last} ${before.epoch} ${before.seq}`];
      }),
    );
  }

  /** The batch was counted. */
  counted(streams: ReadonlyMap<string, Position>, last: number, committed: number): void {
    for (const [stream, at] of streams)
      this.#marks.set(stream, { at, offset: last, before: this.#moved(stream, committed).before });
  }

  #moved(stream: string, committed: number): { readonly before: Position } {
    const mark = this.#marks.get(stream);
    if (mark === undefined) return { before: NOWHERE };
    return { before: mark.offset >= committed ? mark.before : mark.at };
  }
}

/** An event's place among those of its gateway. */
export interface Position {
  readonly epoch: number;
  readonly seq: number;
}

interface Mark {
  readonly at: Position;
  readonly offset: number;
  readonly before: Position;
}

const NOWHERE: Position = { epoch: -1, seq: -1 };
