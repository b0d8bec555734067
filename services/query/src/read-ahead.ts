/**
 * What is read of each source, in their order. While one piece is at work elsewhere the next `ahead` are read side by side, so one more
 * than that exists at a time; further ahead nothing is read, however slowly they are taken. An error comes in its turn, behind the
 * pieces before it.
 */
export async function* readAhead<Source, Piece>(
  sources: Iterable<Source>,
  ahead: number,
  read: (source: Source) => Promise<Piece>,
): AsyncGenerator<Piece, void> {
  const left = Iterator.from(sources);
  const reading: Promise<Piece>[] = [];
  const begin = (): void => {
    const { done, value } = left.next();
    if (done) return;
    const piece = read(value);
    piece.catch(() => {});
    reading.push(piece);
  };
  try {
    for (let count = 0; count < ahead; count += 1) begin();
    for (let next = reading.shift(); next !== undefined; next = reading.shift()) {
      const piece = await next;
      begin();
      yield piece;
    }
  } finally {
    await Promise.allSettled(reading);
  }
}
