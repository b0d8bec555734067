/**
 * The same pieces in the same order. The next one is asked for while the one before it is at work elsewhere, so two exist at a
 * time; further ahead nothing is read, however slowly they are taken. An error comes in its turn, behind the pieces before it.
 */
export async function* readAhead<Piece>(pieces: AsyncGenerator<Piece, void>): AsyncGenerator<Piece, void> {
  let coming = pieces.next();
  try {
    for (;;) {
      const { done, value } = await coming;
      if (done) return;
      coming = pieces.next();
      coming.catch(() => {});
      yield value;
    }
  } finally {
    await coming.catch(() => {});
    await pieces.return();
  }
}
