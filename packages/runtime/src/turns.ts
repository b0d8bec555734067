/** Lets so many at once do something, as long as they hold no more than so many bytes together; the others wait in order. */
export class Turns {
  private free: number;
  private bytesFree: number;
  private readonly bytesMax: number;
  private readonly waiting: { readonly bytes: () => number; readonly begin: (held: number) => void }[] = [];

  /** @param bytesMax who holds more goes alone. */
  constructor(atOnce: number, bytesMax: number = Number.MAX_SAFE_INTEGER) {
    this.free = atOnce;
    this.bytesFree = bytesMax;
    this.bytesMax = bytesMax;
  }

  /** @param bytes that are held meanwhile; asked when the turn may come. */
  async take<T>(bytes: () => number, act: () => Promise<T>): Promise<T> {
    const held = await new Promise<number>((begin) => {
      this.waiting.push({ bytes, begin });
      this.admit();
    });
    try {
      return await act();
    } finally {
      this.free += 1;
      this.bytesFree += held;
      this.admit();
    }
  }

  private admit(): void {
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      const held = Math.min(next.bytes(), this.bytesMax);
      if (this.free === 0 || held > this.bytesFree) return;
      this.waiting.shift();
      this.free -= 1;
      this.bytesFree -= held;
      next.begin(held);
    }
  }
}
