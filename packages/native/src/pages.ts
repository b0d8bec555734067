/** Sizes of the pages of a stream: its first, its second, and all after them. */
const SIZES = [4 * 1024, 16 * 1024, 64 * 1024] as const;

/**
 * The memory that columns are written to: pages of zeros, used again and again. A chunk begins on small ones, so that many
 * partitions may each have begun one, and grows without being copied.
 */
export class Pages {
  private readonly spare: readonly Uint8Array<ArrayBuffer>[][] = SIZES.map(() => []);

  /**
   * A page of zeros with room for so many bytes.
   *
   * @param before pages that its stream has.
   */
  take(bytes: number, before: number): Uint8Array<ArrayBuffer> {
    for (let size = Math.min(before, SIZES.length - 1); size < SIZES.length; size += 1) {
      if (bytes <= SIZES[size]!) return this.spare[size]!.pop() ?? new Uint8Array(SIZES[size]!);
    }
    return new Uint8Array(bytes);
  }

  /** Nobody reads the page any more. @param used bytes of it that may be no zeros. */
  giveBack(page: Uint8Array<ArrayBuffer>, used: number): void {
    const size = (SIZES as readonly number[]).indexOf(page.length);
    if (size < 0) return;
    // What a stream leaves out must read as zeros.
    page.fill(0, 0, used);
    this.spare[size]!.push(page);
  }
}
