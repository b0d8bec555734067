import { connect, type Socket } from 'node:net';

/**
 * Sockets for kafkajs that hand over each answer of the broker whole, in memory of its own size. kafkajs joins what comes
 * in pieces of 64 KiB, which costs each fetched byte a copy more and leaves it twice to the collector.
 *
 * An answer is its length (i32, big-endian) and so many bytes: https://kafka.apache.org/protocol#protocol_common
 */
export function wholeAnswerSocket({
  host,
  port,
  onConnect,
}: {
  readonly host: string;
  readonly port: number;
  readonly onConnect: () => void;
}): Socket {
  const answers = new Answers(
    (answer) => void socket.emit('data', answer),
    (bytes) => void socket.destroy(new Error(`the broker announced an answer of ${bytes} bytes`)),
  );
  const socket: Socket = connect(
    {
      host,
      port,
      onread: {
        buffer: new Uint8Array(READ_BYTES),
        callback: (size, buffer) => {
          answers.add(buffer.subarray(0, size));
          return !socket.destroyed;
        },
      },
    },
    onConnect,
  );
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  return socket;
}

const READ_BYTES = 256 * 1024;
const KEEP_ALIVE_MS = 60_000;
const HEAD_BYTES = 4;

/** Smaller answers have memory of their own. */
const LARGE_BYTES = 64 * 1024;
/** Memory grows by this, not by each larger answer. */
const GRAIN_BYTES = 256 * 1024;

/** Far beyond what a fetch may bring; whoever announces more is no broker. */
const ANSWER_BYTES_MAX = 128 * 1024 ** 2;

/** Joins what a connection brings to answers. */
export class Answers {
  private readonly give: (answer: Buffer) => void;
  private readonly refuse: (bytes: number) => void;
  private readonly head = new Uint8Array(HEAD_BYTES);
  /** For large answers in turn. */
  private readonly memories = [Buffer.alloc(0), Buffer.alloc(0)];
  private turn = 0;
  private headSize = 0;
  private answer: Buffer | undefined;
  private size = 0;

  /**
   * @param give takes each answer with its length before it; a large one is written over by the large one after the next.
   * @param refuse is told of a length that no answer has; nothing that comes after it is read.
   */
  constructor(give: (answer: Buffer) => void, refuse: (bytes: number) => void) {
    this.give = give;
    this.refuse = refuse;
  }

  /** @param piece is copied. */
  add(piece: Uint8Array): void {
    for (let at = 0; at < piece.length; ) {
      if (this.headSize === HEAD_BYTES) return;
      if (this.answer === undefined) {
        this.head[this.headSize++] = piece[at++]!;
        if (this.headSize === HEAD_BYTES) this.begin();
        continue;
      }
      const taken = piece.subarray(at, at + this.answer.length - this.size);
      this.answer.set(taken, this.size);
      this.size += taken.length;
      at += taken.length;
      this.endIfWhole();
    }
  }

  private begin(): void {
    const [a, b, c, d] = this.head as unknown as [number, number, number, number];
    const length = (a << 24) | (b << 16) | (c << 8) | d;
    if (length < 0 || length > ANSWER_BYTES_MAX) {
      this.headSize = HEAD_BYTES;
      this.refuse(length);
      return;
    }
    this.answer = this.memoryFor(HEAD_BYTES + length);
    this.answer.set(this.head);
    this.size = HEAD_BYTES;
    this.headSize = 0;
    this.endIfWhole();
  }

  /**
   * Of large answers only fetches have that size. The next one is asked for when the one before the last was read (`rawRack`), and
   * comes while the last is: so two places are as many as are in use at a time, and whatever is written over
   * nevertheless fails its checksum.
   */
  private memoryFor(bytes: number): Buffer {
    if (bytes < LARGE_BYTES) return Buffer.allocUnsafe(bytes);
    this.turn = 1 - this.turn;
    const memory = this.memories[this.turn]!;
    if (memory.length >= bytes) return memory.subarray(0, bytes);
    const grown = Buffer.allocUnsafeSlow(Math.ceil(bytes / GRAIN_BYTES) * GRAIN_BYTES);
    this.memories[this.turn] = grown;
    return grown.subarray(0, bytes);
  }

  private endIfWhole(): void {
    const { answer } = this;
    if (answer === undefined || this.size < answer.length) return;
    this.answer = undefined;
    this.give(answer);
  }
}
