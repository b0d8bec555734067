import type { Writable } from 'node:stream';

const WIDTH = 30;
const EVERY_MS = 100;

/** A bar on a terminal: how far something is, drawn over itself, at most ten times a second. Silent elsewhere. */
export class ProgressBar {
  readonly #stream: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  #drawnAt = Number.NEGATIVE_INFINITY;
  #isDrawn = false;

  constructor(stream: Writable & { readonly isTTY?: boolean; readonly columns?: number }) {
    this.#stream = stream;
  }

  show({ bytes, of, at }: { readonly bytes: number; readonly of: number; readonly at: string }): void {
    this.#draw(bytes, of, `${mebibytes(bytes)} of ${mebibytes(of)} MiB  ${at}`);
  }

  /** How many of how many. */
  showCount({
    count,
    of,
    what,
  }: {
    readonly count: number;
    readonly of: number;
    readonly what: string;
  }): void {
    this.#draw(count, of, `${count} of ${of} ${what}`);
  }

  /** How much there is by now, where nobody knows of how much. */
  showBytes(bytes: number): void {
    this.#line(`${mebibytes(bytes)} MiB`, false);
  }

  #draw(done: number, of: number, text: string): void {
    const part = of === 0 ? 1 : Math.min(1, done / of);
    const full = Math.round(part * WIDTH);
    const bar = `${'#'.repeat(full)}${'.'.repeat(WIDTH - full)} ${Math.floor(part * 100)} %`;
    this.#line(`${bar}  ${text}`, done >= of);
  }

  #line(line: string, isLast: boolean): void {
    if (this.#stream.isTTY !== true) return;
    const now = performance.now();
    if (now - this.#drawnAt < EVERY_MS && !isLast) return;
    this.#drawnAt = now;
    this.#stream.write(`\r\u001b[2K${line.slice(0, (this.#stream.columns ?? 100) - 1)}`);
    this.#isDrawn = true;
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#isDrawn) this.#stream.write('\r\u001b[2K');
    this.#isDrawn = false;
  }
}

const mebibytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(bytes < 1024 ** 3 ? 1 : 0);
